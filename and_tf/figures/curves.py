"""Curves over epochs, with the rounds marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from and_tf.figures.style import LINE, MUTED, PALETTE, legend, new_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]

FEW = 40
"""Up to so many points of a series each are marked."""


def curves(
    series: Series,
    ylabel: str,
    round_starts: Sequence[float] = (),
    xlabel: str = "epochs",
    percent: bool = False,
) -> Figure:
    """Lines, one a series, with a vertical rule where each round starts.

    Args:
        series: Name to (x, y); what is not finite leaves a gap.
        ylabel: With the unit.
        round_starts: x of the starts of round 1, 2, ...
        xlabel: With the unit.
        percent: Whether y are shares, to be shown in percent.
    """
    figure = new_figure()
    axes = new_axes(figure, xlabel, ylabel)
    for (name, (x, y)), colour in zip(series.items(), _colours(len(series)), strict=True):
        marker = "o" if len(x) <= FEW else None
        values = np.array(y, float)
        axes.plot(x, values, color=colour, label=name, linewidth=1.6, marker=marker, markersize=3)
    for number, start in enumerate(round_starts, start=1):
        axes.axvline(start, color=LINE, linewidth=1, zorder=0)
        axes.annotate(
            f"round {number}" if len(round_starts) <= 5 else str(number),
            (start, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            color=MUTED,
            fontsize=7,
        )
    if all(value == int(value) for x, _ in series.values() for value in x):
        axes.locator_params(axis="x", integer=True)
    if percent:
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    legend(axes, columns=4, above=0.06 if len(round_starts) else 0)
    return figure


def _colours(count: int) -> list[str]:
    return [PALETTE[index % len(PALETTE)] for index in range(count)]
