"""Grids of images: rows that belong together, with frames that say what agrees; and sheets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from and_tf.figures.style import AGREES, DIFFERS, INK, MUTED, WIDTH
from and_tf.figures.thumbnails import montage, shrunk

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL = 42
"""Side of a cell in CSS pixels."""
_GAP = 4
_HEADER = 18
_CAPTION = 11
_CHARACTER = 5.2
"""Width of a character of a row's title, about."""


def image_grid(
    images: np.ndarray,
    agrees: np.ndarray | None = None,
    row_titles: Sequence[str] = (),
    column_titles: Sequence[str] = (),
    cell: float = CELL,
) -> Figure:
    """Images in rows and columns; a frame is blue where an image agrees, orange where it differs.

    Args:
        images: uint8 [R, C, H, W, 3].
        agrees: int [R, C], 1 agrees, 0 differs, -1 no frame.
        row_titles: One for each row, at its left.
        column_titles: One for each column, above.
        cell: Side of a cell in CSS pixels.
    """
    rows, columns = images.shape[:2]
    return _grid(
        list(images.reshape(rows * columns, *images.shape[2:])),
        columns,
        None if agrees is None else list(np.asarray(agrees).ravel()),
        row_titles,
        column_titles,
        cell,
    )


def image_sheet(
    images: np.ndarray,
    agrees: Sequence[int] | np.ndarray | None = None,
    captions: Sequence[str] = (),
    cell: float = CELL,
    wide: int = 1,
) -> Figure:
    """Images one after another, each with a caption below it.

    Args:
        images: uint8 [n, H, W, 3].
        agrees: int [n], as in `image_grid`.
        captions: One for each image.
        cell: Height of an image in CSS pixels.
        wide: Its width, in heights.
    """
    columns = max(1, int(WIDTH // (wide * cell + _GAP)))
    frames = None if agrees is None else list(agrees)
    return _grid(list(images), columns, frames, (), (), cell, captions, wide)


def _grid(
    images: Sequence[np.ndarray],
    columns: int,
    agrees: Sequence[int] | None,
    row_titles: Sequence[str],
    column_titles: Sequence[str],
    cell: float,
    captions: Sequence[str] = (),
    wide: int = 1,
) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    rows = -(-len(images) // columns)
    left = max(2.0, 6 + _CHARACTER * max((len(title) for title in row_titles), default=-1))
    top = _HEADER if column_titles else 2
    small = shrunk(np.stack(images), round(wide * cell)) if images else np.zeros((0, 1, 1, 3))
    # Whole pixels of the images, so that all stand in one raster.
    pixel = cell / max(small.shape[1], small.shape[2] / wide)
    gap = max(1, round(_GAP / pixel))
    below = math.ceil(_CAPTION / pixel) if captions else 0
    raster = montage(small, columns, wide, gap, below)
    side, pitch = wide * cell, wide * cell + gap * pixel
    line = cell + (gap + below) * pixel
    width, height = left + columns * pitch, top + rows * line
    figure = Figure(figsize=(width / 96, height / 96))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    if len(small):
        extent = (left, left + columns * pitch, top + rows * line, top)
        axes.imshow(raster, extent=extent, interpolation="none", aspect="auto")
    for index in range(len(small)):
        row, column = divmod(index, columns)
        x, y = left + column * pitch, top + row * line
        if agrees is not None and agrees[index] >= 0:
            colour = AGREES if agrees[index] else DIFFERS
            frame = Rectangle((x, y), side, cell, fill=False, edgecolor=colour, linewidth=1.8)
            axes.add_patch(frame)
        if captions:
            axes.text(x, y + cell + 9, captions[index], fontsize=6, color=MUTED)
    for row, title in enumerate(row_titles):
        axes.text(0, top + row * line + cell / 2, title, fontsize=7, color=INK, va="center")
    for column, title in enumerate(column_titles):
        axes.text(left + column * pitch, top - 6, title, fontsize=7, color=MUTED)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return figure
