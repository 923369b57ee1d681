"""Bars: groups beside each other, and parts of a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from and_tf.figures.style import AGREES, DIFFERS, INK, PALETTE, legend, new_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def bars(
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    ylabel: str,
    percent: bool = False,
) -> Figure:
    """One bar for each group and series.

    Args:
        groups: Names below the axis.
        series: Name to one value a group; what is not finite is left out.
        ylabel: With the unit.
        percent: Whether the values are shares.
    """
    figure = new_figure()
    axes = new_axes(figure, ylabel=ylabel)
    places, width = np.arange(len(groups)), 0.8 / max(len(series), 1)
    for number, (name, values) in enumerate(series.items()):
        at = places - 0.4 + width * (number + 0.5)
        colour = PALETTE[number % len(PALETTE)]
        drawn = axes.bar(at, np.array(values, float), 0.9 * width, color=colour, label=name)
        texts = ["" if not np.isfinite(v) else _text(v, percent) for v in np.array(values, float)]
        if len(groups) * len(series) <= 14:
            axes.bar_label(drawn, texts, fontsize=7, color=INK, padding=1)
    axes.set_xticks(places, groups)
    if percent:
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    legend(axes, columns=4)
    return figure


def stacked_bars(
    groups: Sequence[str], parts: Mapping[str, Sequence[float]], ylabel: str
) -> Figure:
    """One bar for each group, made of parts; the first two are those that agree and that differ.

    Args:
        groups: Names below the axis.
        parts: Name to one amount a group.
        ylabel: With the unit.

    Source: the form of Figure 6 of the AND paper, consistent and inconsistent neighbours by round.
    """
    figure = new_figure()
    axes = new_axes(figure, ylabel=ylabel)
    bottom = np.zeros(len(groups))
    for (name, values), colour in zip(parts.items(), (AGREES, DIFFERS, *PALETTE[3:]), strict=False):
        amounts = np.array(values, float)
        drawn = axes.bar(groups, amounts, 0.6, bottom, color=colour, label=name)
        texts = [f"{amount:,.0f}" if amount else "" for amount in amounts]
        if colour == DIFFERS:  # narrow, on top
            axes.bar_label(drawn, texts, fontsize=7, color=INK, padding=1)
        else:
            axes.bar_label(drawn, texts, fontsize=7, color="white", label_type="center")
        bottom += amounts
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.margins(y=0.1)
    legend(axes, columns=4)
    return figure


def _text(value: float, percent: bool) -> str:
    return f"{100 * value:.1f}" if percent else f"{value:.3g}"
