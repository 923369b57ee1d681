"""Small pictures of the rows."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
from PIL import Image

from and_tf.data.in_memory import InMemoryImageSet
from and_tf.exporting.thumbnails import write_thumbnails


def image_set(sides: tuple[int, int], count: int) -> InMemoryImageSet:
    levels = (np.arange(count) * 20).astype(np.uint8)
    return InMemoryImageSet(
        "grey", np.broadcast_to(levels[:, None, None, None], (count, *sides, 3))
    )


def read(folder: Path) -> list[Image.Image]:
    offsets = np.load(folder / "offsets.npy")
    images = (folder / "images").read_bytes()
    assert offsets[-1] == len(images)
    return [
        Image.open(io.BytesIO(images[start:stop])) for start, stop in itertools.pairwise(offsets)
    ]


def test_images_are_small_and_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "thumbnails"
    sets = [image_set((60, 120), 3), image_set((60, 120), 2)]
    assert write_thumbnails(folder, sets, batch_size=2) == 5
    found = read(folder)
    assert {image.size for image in found} == {(48, 24)}
    means = [np.asarray(image.convert("L")).mean() for image in found]
    np.testing.assert_allclose(means, [0, 20, 40, 0, 20], atol=2)


def test_size_is_bounded(tmp_path: Path) -> None:
    folder = tmp_path / "thumbnails"
    sets = [image_set((8, 8), 10)]
    whole = write_thumbnails(tmp_path / "whole", sets, 4)
    size = (tmp_path / "whole" / "images").stat().st_size
    assert 0 < write_thumbnails(folder, sets, 4, most_bytes=size // 2) < whole == 10
    assert (folder / "images").stat().st_size <= size // 2
