"""A map of embeddings as a still picture: points, and thumbnails where there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from and_tf.figures.style import PALETTE, WIDTH
from and_tf.figures.thumbnails import montage, shrunk

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THUMBNAIL = 32
"""Of the longer side, in pixels."""
NO_GROUP = "#9aa0a6"
"""Of a point without a label."""


def group_colour(group: int) -> str:
    """The colour of a label or cluster; they repeat after ten."""
    return PALETTE[group % len(PALETTE)] if group >= 0 else NO_GROUP


def thumbnail_map(
    positions: np.ndarray, images: np.ndarray, groups: np.ndarray, cells: int = 18
) -> Figure:
    """Points in the colours of their groups, and in each cell of a grid one example's image.

    Args:
        positions: float [n, 2].
        images: uint8 [n, H, W, 3].
        groups: int [n], -1 for none.
        cells: Of the grid, along each side.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(WIDTH / 96, WIDTH / 96))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    low, high = positions.min(axis=0), positions.max(axis=0)
    places = (positions - low) / np.maximum(high - low, 1e-12) * (cells - 1)
    colours = [group_colour(int(group)) for group in groups]
    axes.scatter(
        places[:, 0], places[:, 1], s=3, c=colours, linewidths=0, alpha=0.7, rasterized=True
    )
    chosen = _one_a_cell(places)
    small = shrunk(images[chosen], THUMBNAIL)
    # One raster with a cell for each place; a quarter of it is left free.
    side = max(small.shape[1:3])
    pitch = side + max(1, side // 4)
    raster = np.zeros((cells * pitch, cells * pitch, 4), np.uint8)
    squares = montage(small, 1, gap=0).reshape(-1, side, side, 4)
    for index, image in zip(chosen, squares, strict=True):
        x, y = np.rint(places[index]).astype(int)
        row, column = (cells - 1 - y) * pitch, x * pitch
        raster[row : row + side, column : column + side] = image
        corner = x - 0.5, y + 0.5 - side / pitch
        edge = Rectangle(corner, side / pitch, side / pitch, fill=False, edgecolor=colours[index])
        axes.add_patch(edge).set_zorder(3)
    edges = (-0.5, cells - 0.5, -0.5, cells - 0.5)
    axes.imshow(raster, extent=edges, interpolation="none", aspect="auto", zorder=2)
    axes.set_xlim(-0.6, cells - 0.4)
    axes.set_ylim(-0.6, cells - 0.4)
    return figure


def _one_a_cell(places: np.ndarray) -> np.ndarray:
    """In each cell that has an example, the one nearest to its middle: int [m]."""
    middles = np.rint(places)
    order = np.argsort(np.square(places - middles).sum(axis=1), kind="stable")
    _, first = np.unique(middles[order], axis=0, return_index=True)
    return np.sort(order[first])
