"""Who is taken for whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from and_tf.figures.style import INK, MUTED, PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = 25
"""Up to so many classes are named, and their cells have numbers."""


def confusion_figure(counts: np.ndarray, class_names: Sequence[str]) -> Figure:
    """A confusion matrix, coloured by the share of each true class.

    Args:
        counts: int [C, C], [true, predicted].
        class_names: C names.
    """
    from matplotlib.colors import LinearSegmentedColormap

    counts = np.asarray(counts)
    classes = len(counts)
    figure = new_figure(height=440 if classes > 6 else 320)
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # From nothing, so that it stands on any page.
    shades = LinearSegmentedColormap.from_list("shares", [(*_rgb(), 0.0), (*_rgb(), 1.0)])
    strengths = np.sqrt(shares)  # few are seen, too
    axes.imshow(strengths, cmap=shades, vmin=0, vmax=1, interpolation="none")
    axes.tick_params(colors=MUTED, labelcolor=MUTED, labelsize=8, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("predicted", color=MUTED, fontsize=8)
    axes.set_ylabel("true class", color=MUTED, fontsize=8)
    if classes > NAMED:
        return figure
    long = max(len(name) for name in class_names) > 3
    axes.set_xticks(
        range(classes), class_names, rotation=45 if long else 0, ha="right" if long else "center"
    )
    axes.set_yticks(range(classes), class_names)
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if strengths[row, column] > 0.6 else INK
        text = f"{counts[row, column]:,}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    return figure


def _rgb() -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(PALETTE[0])
