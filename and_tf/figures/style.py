"""How figures look, and how they become SVG that follows a page's light or dark scheme."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, LINE, PAPER = "#1f2328", "#656d77", "#d0d7de", "#fffffe"
"""Text, secondary text, rules, and the page behind a figure: in a page each follows its scheme."""

PALETTE = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
"""Ten colours told apart with any colour vision (Petroff, arXiv 2107.02270); Matplotlib's `petroff10`."""

AGREES, DIFFERS = PALETTE[0], PALETTE[6]
"""Of one class, and of another."""

WIDTH = 440
"""Of a figure in CSS pixels: a page of 400 pixels shows it almost in full size."""

_VARIABLES = {INK: "--ink", MUTED: "--muted", LINE: "--line", PAPER: "--paper"}


def new_figure(width: float = WIDTH, height: float = 250) -> Figure:
    """An empty figure of so many CSS pixels."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 96, height / 96), layout="constrained")


def new_axes(figure: Figure, xlabel: str = "", ylabel: str = "") -> Axes:
    """The one pair of axes of a figure of curves or bars."""
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.tick_params(colors=MUTED, labelcolor=MUTED, labelsize=8, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.set_xlabel(xlabel, color=MUTED, fontsize=8)
    axes.set_ylabel(ylabel, color=MUTED, fontsize=8)
    return axes


def legend(axes: Axes, columns: int, above: float = 0) -> None:
    """A legend so far above the axes, if there is more than one thing to tell apart."""
    if len(axes.get_legend_handles_labels()[1]) > 1:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.02, 1.0 + above),
            ncols=columns,
            frameon=False,
            fontsize=8,
            labelcolor=INK,
            handlelength=1.2,
            columnspacing=1.2,
            borderaxespad=0.2,
        )


def to_svg(figure: Figure) -> str:
    """A figure as SVG text, the same for the same figure. Text stays text."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "and_tf", "image.composite_image": False}
    ):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def inline_svg(svg: str, description: str) -> str:
    """A figure's SVG as an element of a page, in the colours of its scheme (`--ink`, `--muted`, ...)."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[a-z0-9]+_\d+"', "", svg)  # of groups; what is referred to has others
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
