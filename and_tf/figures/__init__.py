"""Everything that draws: figures from arrays, and the page that holds them. Knows no model and no run.

Each figure is a function of arrays that returns a `matplotlib.figure.Figure`, without pyplot and its
state, so that notebooks, threads and servers may draw.

Other rooms use `bars`, `confusion`, `curves`, `grids`, `heat`, `interactive_map`, `maps`, `page`
and `style`.
"""

from __future__ import annotations

from and_tf.figures.bars import bars, stacked_bars
from and_tf.figures.confusion import confusion_figure
from and_tf.figures.curves import curves
from and_tf.figures.grids import image_grid, image_sheet
from and_tf.figures.heat import heat_overlay
from and_tf.figures.maps import thumbnail_map

__all__ = [
    "bars",
    "confusion_figure",
    "curves",
    "heat_overlay",
    "image_grid",
    "image_sheet",
    "stacked_bars",
    "thumbnail_map",
]
