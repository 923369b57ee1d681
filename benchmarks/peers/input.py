"""PyTorch's DataLoader with the authors' transforms in Pillow, one image at a time.

python -m benchmarks.peers.input SOURCE SIZE BATCH BATCHES WORKERS AUGMENT

SOURCE is an .npy file of uint8 images [N, H, W, 3] or a folder of image files. Random crops come
from the whole image. Each worker is a process; batches are uint8 [B, 3, H, W].
"""

from __future__ import annotations

import math
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch.utils.data import DataLoader, Dataset, RandomSampler

from benchmarks.measuring import Seconds
from benchmarks.peers import answer

AHEAD = 8  # Batches that are drawn before timing: more than the workers fetch ahead.


class Images(Dataset):
    def __init__(self, source: Path, size: int, augment: bool) -> None:
        self.files = sorted(source.iterdir()) if source.is_dir() else None
        self.images = np.load(source) if self.files is None else None
        self.size = size
        self.augment = augment

    def __len__(self) -> int:
        return len(self.images if self.files is None else self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if self.files is None:
            image = Image.fromarray(self.images[index])
        else:
            image = Image.open(self.files[index]).convert("RGB")
        image = augmented(image, self.size) if self.augment else centre(image, self.size)
        pixels = torch.from_numpy(np.array(image))
        return pixels.permute(2, 0, 1).contiguous(), index


def centre(image: Image.Image, size: int) -> Image.Image:
    """Resize and CenterCrop, whole images below 64 pixels."""
    if image.size == (size, size):
        return image
    if size < 64:
        return image.resize((size, size), Image.Resampling.BILINEAR)
    shorter = round(size * 256 / 224)
    scale = shorter / min(image.size)
    width, height = (max(shorter, int(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def augmented(image: Image.Image, size: int) -> Image.Image:
    """RandomResizedCrop, ColorJitter, RandomGrayscale, and from 64 pixels on RandomHorizontalFlip."""
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=crop_box(*image.size))
    jitters = [
        lambda image: ImageEnhance.Brightness(image).enhance(random.uniform(0.6, 1.4)),
        lambda image: ImageEnhance.Contrast(image).enhance(random.uniform(0.6, 1.4)),
        lambda image: ImageEnhance.Color(image).enhance(random.uniform(0.6, 1.4)),
        lambda image: turned(image, random.uniform(-0.4, 0.4)),
    ]
    random.shuffle(jitters)
    for jitter in jitters:
        image = jitter(image)
    if random.random() < 0.2:
        image = image.convert("L").convert("RGB")
    if size >= 64 and random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image


def crop_box(width: int, height: int) -> tuple[int, int, int, int]:
    for _ in range(10):
        area = width * height * random.uniform(0.2, 1.0)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if w <= width and h <= height:
            left, top = random.randint(0, width - w), random.randint(0, height - h)
            return left, top, left + w, top + h
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def turned(image: Image.Image, turns: float) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    hue = Image.fromarray(np.asarray(hue) + np.uint8(int(turns * 255) % 256))
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def main() -> None:
    source, (size, batch, batches, workers, augment) = Path(sys.argv[1]), map(int, sys.argv[2:])
    images = Images(source, size, bool(augment))
    loader = DataLoader(
        images,
        batch,
        sampler=RandomSampler(images, replacement=True, num_samples=10**8),
        num_workers=workers,
    )
    stream = iter(loader)

    def run() -> Seconds:
        for _ in range(AHEAD):
            next(stream)
        start = time.perf_counter()
        for _ in range(batches):
            next(stream)
        elapsed = time.perf_counter() - start
        time.sleep(AHEAD * elapsed / batches)  # The workers fetch ahead; now they are idle.
        return Seconds(elapsed)

    answer(run)


if __name__ == "__main__":
    main()
