"""Images as the client takes them, turned into the encoded bytes that it sends."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageOps

# A file's path, encoded bytes, a Pillow image, or uint8 pixels [H, W, 3] or [H, W].
ImageLike = Any


def encoded_images(images: Iterable[ImageLike] | np.ndarray) -> list[bytes]:
    """Every image as encoded bytes; pixels become PNG, which loses nothing.

    Args:
        images: paths, encoded bytes, Pillow images, uint8 arrays [H, W, 3] or [H, W]; or one uint8
            array [N, H, W, 3].

    Raises:
        ValueError: for one image that is not in a list, and for anything else.
        OSError: for a file that cannot be read.
    """
    alone = isinstance(images, str | bytes | os.PathLike | Image.Image)
    if alone or (isinstance(images, np.ndarray) and images.ndim != 4):
        raise ValueError(
            "Give a list of images, or one uint8 array [N, H, W, 3]; put a single image in a list. "
            f"Received: {_described(images)}"
        )
    return [_encoded(image, index) for index, image in enumerate(images)]


def _encoded(image: ImageLike, index: int) -> bytes:
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | os.PathLike):
        with open(image, "rb") as file:
            return file.read()
    if isinstance(image, np.ndarray):
        coloured = image.ndim == 3 and image.shape[2] == 3
        if image.dtype != np.uint8 or not (coloured or image.ndim == 2):
            raise ValueError(
                f"Pixels must be uint8 of shape [H, W, 3] or [H, W] (image {index}). "
                f"Received: {_described(image)}"
            )
        image = Image.fromarray(image)
    if not isinstance(image, Image.Image):
        raise ValueError(  # noqa: TRY004, one kind of error for whatever cannot be sent
            f"An image must be a path, bytes, a Pillow image or a uint8 array (image {index}). "
            f"Received: {_described(image)}"
        )
    # As the server does with files: upright, and transparency is left for it to fill.
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} {list(value.shape)}"
    return type(value).__name__


def batches(images: list[bytes], size: int, max_bytes: int) -> Iterator[slice]:
    """Slices of at most `size` images and `max_bytes` bytes, each of one image at least."""
    start = total = 0
    for index, image in enumerate(images):
        if index > start and (index - start == size or total + len(image) > max_bytes):
            yield slice(start, index)
            start, total = index, 0
        total += len(image)
    if images:
        yield slice(start, len(images))
