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


def montage(
    images: np.ndarray, columns: int, wide: int = 1, gap: int = 1, below: int = 0
) -> np.ndarray:
    """Images in rows on nothing, uint8 [R (side + gap + below), C (wide side + gap), 4].

    Args:
        images: uint8 [n, h, w, 3]; each stands in the middle of its cell.
        columns: C.
        wide: How many times as wide as high a cell is; its height is the least that holds an image.
        gap: Pixels right of and below each cell.
        below: Further pixels below each.
    """
    count, height, width = images.shape[:3]
    side = max(height, -(-width // wide))
    pitch, line = wide * side + gap, side + gap + below
    rows = -(-count // columns)
    raster = np.zeros((rows * line, columns * pitch, 4), np.uint8)
    top, left = (side - height) // 2, (wide * side - width) // 2
    for index, image in enumerate(images):
        y, x = index // columns * line + top, index % columns * pitch + left
        raster[y : y + height, x : x + width, :3] = image
        raster[y : y + height, x : x + width, 3] = 255
    return raster


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
