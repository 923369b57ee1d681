"""What an export holds for the page: the rows' map and their thumbnails."""

from __future__ import annotations

import functools
import mmap
from pathlib import Path

import numpy as np

# Versions whose thumbnails are kept at hand.
KEPT = 8


def read_map(version: Path) -> bytes | None:
    """The JSON of the rows' places in the plane; None if the export has none."""
    try:
        return (version / "assets.extra" / "projection.json").read_bytes()
    except OSError:
        return None


def thumbnail(version: Path, row: int) -> bytes | None:
    """The picture of a row of the bank, WebP; None if the export has none of it."""
    found = _thumbnails(version)
    if found is None:
        return None
    offsets, images = found
    if not 0 <= row < len(offsets) - 1:
        return None
    return images[offsets[row] : offsets[row + 1]]


@functools.lru_cache(KEPT)
def _thumbnails(version: Path) -> tuple[np.ndarray, mmap.mmap] | None:
    folder = version / "assets.extra" / "thumbnails"
    try:
        offsets = np.load(folder / "offsets.npy", allow_pickle=False)
        with (folder / "images").open("rb") as file:
            images = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # absent, empty or damaged
        return None
    fits = offsets.dtype == np.int64 and offsets.ndim == 1 and len(offsets) > 1
    if not fits or offsets[0] != 0 or offsets[-1] != len(images) or np.any(np.diff(offsets) < 0):
        return None
    return offsets, images
