"""Small pictures: images made small, and many of them as one."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

LONGEST_SIDE = 48
"""Of an image in a grid, in pixels."""


def shrunk(images: np.ndarray, longest: int = LONGEST_SIDE) -> np.ndarray:
    """Images no longer than so many pixels, uint8 [n, h, w, 3]; smaller ones stay as they are.

    Args:
        images: uint8 [n, H, W, 3].
        longest: Of the longer side.
    """
    images = np.asarray(images, np.uint8)
    height, width = images.shape[1:3]
    scale = longest / max(height, width)
    if scale >= 1 or not len(images):
        return images
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = [
        np.asarray(Image.fromarray(each).resize(size, Image.Resampling.BOX)) for each in images
    ]
    return np.stack(small)


def sprite(images: np.ndarray) -> np.ndarray:
    """All images in one, row by row, uint8 [R h, C w, 3] with C = `sprite_columns(n)`."""
    count, height, width, channels = images.shape
    columns = sprite_columns(count)
    rows = -(-count // columns)
    padded = np.zeros((rows * columns, height, width, channels), np.uint8)
    padded[:count] = images
    grid = padded.reshape(rows, columns, height, width, channels)
    return grid.swapaxes(1, 2).reshape(rows * height, columns * width, channels)


def sprite_columns(count: int) -> int:
    """How many images stand in a row of the `sprite` of so many."""
    return max(1, math.ceil(math.sqrt(count)))


def encoded(pixels: np.ndarray) -> tuple[str, bytes]:
    """The media type and the bytes of a picture, PNG where that is not the larger by far, or else WebP.

    Args:
        pixels: uint8 [H, W, 3].
    """
    image = Image.fromarray(pixels)
    if (pixels == pixels[..., :1]).all():
        image = image.convert("L")
    candidates = {}
    for form in ("png", "webp"):
        buffer = io.BytesIO()
        image.save(buffer, form, optimize=True, quality=75)  # each takes what it knows
        candidates[form] = buffer.getvalue()
    form = "png" if len(candidates["png"]) < 2 * len(candidates["webp"]) else "webp"
    return f"image/{form}", candidates[form]
