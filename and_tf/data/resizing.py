"""One image size for a whole data set: the evaluation convention of ImageNet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

CROPPED_FROM = 64  # Smaller images are resized whole: at 32 pixels a border is worth keeping.


def resize(image: Image.Image, image_size: int | None) -> Image.Image:
    """Return an image in the mode RGB or L at image_size x image_size; None leaves it as it is.

    From 64 pixels on, the shorter side is brought to `shorter_side` and the centre is cut out
    (Resize(256) and CenterCrop(224), as in the authors' evaluation); below, the whole image is
    resized. Bilinear, antialiased.
    """
    if image_size is None or keeps((image.height, image.width), image_size):
        return image
    shorter = shorter_side(image_size)
    if image_size >= CROPPED_FROM:
        resized = [
            max(math.floor(side * shorter / min(image.size)), shorter) for side in image.size
        ]
    else:
        resized = [shorter, shorter]
    # What the central square of the resized image shows of this one: the rest is never computed.
    start = [round((side - image_size) / 2) for side in resized]
    left, top = (s * old / new for s, old, new in zip(start, image.size, resized))
    right, bottom = (
        (s + image_size) * old / new for s, old, new in zip(start, image.size, resized)
    )
    return resize_cut(image, image_size, (left, top, right, bottom))


def resize_array(image: np.ndarray, image_size: int | None) -> np.ndarray:
    """`resize` of an array, uint8 [H, W, 3]."""
    if image_size is None or keeps(image.shape[:2], image_size):
        return image
    from PIL import Image

    return np.array(resize(Image.fromarray(image), image_size))


def resize_cut(
    image: Image.Image, image_size: int, box: tuple[float, float, float, float]
) -> Image.Image:
    """Return the cut (left, top, right, bottom) of an image at image_size x image_size, as `resize`."""
    from PIL.Image import Resampling

    return image.resize((image_size, image_size), Resampling.BILINEAR, box=box)


def cut_array(image: np.ndarray, image_size: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """`resize_cut` of an array, uint8 [H, W, 3]."""
    from PIL import Image

    return np.array(resize_cut(Image.fromarray(image), image_size, box))


def shorter_side(image_size: int) -> int:
    """The shorter side that an image is resized to, in pixels."""
    return round(image_size * 256 / 224) if image_size >= CROPPED_FROM else image_size


def keeps(size: tuple[int | None, ...], image_size: int) -> bool:
    """Whether images of this (height, width), None where it varies, are left as they are."""
    return image_size < CROPPED_FROM and size == (image_size, image_size)
