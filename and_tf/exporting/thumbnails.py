"""Small pictures of the rows, which the server's page shows beside their names."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from and_tf.data.image_set import ImageSet
from and_tf.exporting.rows import readable

LONGEST_SIDE = 48
# About a hundred thousand of them; rows after that have none.
MOST_BYTES = 64 * 2**20


def write_thumbnails(
    folder: Path, sets: list[ImageSet], batch_size: int, most_bytes: int = MOST_BYTES
) -> int:
    """Write the first rows' images, 48 pixels long at most, as WebP.

    `images` has the encoded images one after another, `offsets.npy`, int64 [T + 1], where each
    starts and the last one ends. They are in the order of the rows.

    Args:
        folder: Made.
        sets: Whose readable images are the rows.
        batch_size: Images read at a time.
        most_bytes: The length of `images`.

    Returns:
        T, how many rows have one.
    """
    folder.mkdir(parents=True)
    offsets = [0]
    with (folder / "images").open("wb") as file:
        for image in _images(sets, batch_size):
            encoded = _thumbnail(image)
            if offsets[-1] + len(encoded) > most_bytes:
                break
            file.write(encoded)
            offsets.append(offsets[-1] + len(encoded))
    np.save(folder / "offsets.npy", np.array(offsets, np.int64))
    return len(offsets) - 1


def _images(sets: list[ImageSet], batch_size: int) -> Iterator[np.ndarray]:
    for images in sets:
        kept = set(readable(images))
        index = 0
        for batch in images.ordered_batches(batch_size).as_numpy_iterator():
            for image in batch:
                if index in kept:
                    yield image
                index += 1


def _thumbnail(pixels: np.ndarray) -> bytes:
    image = Image.fromarray(pixels)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=70, method=2)
    return buffer.getvalue()
