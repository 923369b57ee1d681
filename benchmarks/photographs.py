"""Made-up photographs of a realistic size, where a data set of real ones is not at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def photograph(number: int, width: int = 500, height: int = 375) -> Image.Image:
    """A scene of soft colours, ellipses and noise; each number has its own."""
    rng = np.random.default_rng(number)
    colours = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
    scene = colours.resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(scene)
    for _ in range(12):
        left, top = rng.integers(0, width), rng.integers(0, height)
        right, bottom = left + rng.integers(20, 180), top + rng.integers(20, 180)
        draw.ellipse((left, top, right, bottom), fill=tuple(map(int, rng.integers(0, 256, 3))))
    noise = rng.normal(0, 14, (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(scene) + noise, 0, 255).astype(np.uint8))


def write_photographs(folder: Path, count: int) -> None:
    """Write `count` JPEGs of 500 x 375 pixels and about 100 kB each, 0000.jpg and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        photograph(number).save(folder / f"{number:04}.jpg", quality=90)
