"""A map of embeddings for a page: drawn by Bokeh over WebGL, to be zoomed and hovered."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from and_tf.figures.maps import group_colour
from and_tf.figures.thumbnails import encoded, shrunk, sprite, sprite_columns

HEIGHT = 520
"""In CSS pixels."""
SHOWN = 72
"""The longer side of a thumbnail that is hovered, in CSS pixels."""
THUMBNAIL = 32
FINE_UP_TO = 5_000
"""Up to so many examples have thumbnails of 32 pixels; more have smaller ones."""


@dataclasses.dataclass(frozen=True)
class InteractiveMap:
    """What a page needs to draw the map.

    Attributes:
        item: JSON for BokehJS's `embed_item`, into the element `embeddings`.
        sprite: CSS: all thumbnails as one picture, a data URL.
        layouts: Names of the ways to place the examples, in the order of the fields x0, y0, x1, ...
        groupings: Names of the ways to colour them, in the order of the fields g0, g1, ...
        legends: For each grouping, (name, colour) of its groups; none where there are many.
    """

    item: str
    sprite: str
    layouts: Sequence[str]
    groupings: Sequence[str]
    legends: Sequence[Sequence[tuple[str, str]]]


def interactive_map(
    layouts: Mapping[str, np.ndarray],
    groupings: Mapping[str, tuple[np.ndarray, Sequence[str]]],
    images: np.ndarray,
    names: Sequence[str] | None = None,
) -> InteractiveMap:
    """A map of n examples.

    Args:
        layouts: Name to positions, float [n, 2]; the first is shown at first.
        groupings: Name to (int [n], -1 for none; the name of each group); the first colours at first.
        images: uint8 [n, H, W, 3].
        names: Of the examples; their number by default.
    """
    from bokeh.core.types import ID
    from bokeh.embed import json_item
    from bokeh.models import (
        BoxZoomTool,
        ColumnDataSource,
        CustomJSHover,
        HoverTool,
        LinearColorMapper,
        PanTool,
        ResetTool,
        WheelZoomTool,
    )
    from bokeh.plotting import figure

    thumbnails = shrunk(images, THUMBNAIL if len(images) <= FINE_UP_TO else 20)
    media_type, picture = encoded(sprite(thumbnails))
    height, width = thumbnails.shape[1:3]
    scale = SHOWN / max(height, width)
    width, height = round(width * scale), round(height * scale)
    columns = sprite_columns(len(images))
    index = np.arange(len(images), dtype=np.int32)

    data: dict[str, object] = {"sx": index % columns * width, "sy": index // columns * height}
    for number, positions in enumerate(layouts.values()):
        data[f"x{number}"], data[f"y{number}"] = np.asarray(positions, np.float32).T.copy()
    rows, mappers, legends = [], [], []
    formatters: dict[str, Any] = {}
    for number, (title, (groups, group_names)) in enumerate(groupings.items()):
        data[f"g{number}"] = np.asarray(groups, np.int32)
        code = "return value < 0 ? 'none' : names[value]"
        formatters[f"@g{number}"] = CustomJSHover(args={"names": list(group_names)}, code=code)
        rows.append(f"<div>{title} <b>@g{number}{{custom}}</b></div>")
        colours = [group_colour(group) for group in range(-1, len(group_names))]
        mappers.append(LinearColorMapper(palette=colours, low=-1.5, high=len(group_names) - 0.5))
        pairs = list(zip(group_names, colours[1:], strict=True))
        legends.append(pairs if len(pairs) <= 10 else [])
    if names is not None:
        data["name"] = list(names)
    rows.append("<div>@name</div>" if names is not None else "<div>example $index</div>")
    thumbnail = (
        f"width:{width}px;height:{height}px;image-rendering:pixelated;background:var(--sprite) "
        f"-@{{sx}}px -@{{sy}}px/{columns * width}px auto"
    )
    hover = HoverTool(
        tooltips=f'<div style="display:flex;gap:8px;font:12px system-ui,sans-serif">'
        f'<div style="{thumbnail}"></div><div>{"".join(rows)}</div></div>',
        formatters=formatters,
        point_policy="snap_to_data",
        limit=1,
    )
    wheel = WheelZoomTool()
    plot = figure(
        name="map",
        height=HEIGHT,
        sizing_mode="stretch_width",
        tools=[PanTool(), wheel, BoxZoomTool(), ResetTool(), hover],
        active_scroll=wheel,
        output_backend="webgl",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        toolbar_location="above",
    )
    plot.axis.visible = False
    plot.grid.visible = False
    plot.toolbar.logo = None
    points = plot.scatter(
        "x0",
        "y0",
        source=ColumnDataSource(data, name="examples"),
        size=6 if len(images) <= FINE_UP_TO else 4,
        fill_color={"field": "g0", "transform": mappers[0]} if mappers else group_colour(-1),
        line_color=None,
        fill_alpha=0.85,
        name="points",
    )
    points.tags = list(mappers)  # for the page's switch
    return InteractiveMap(
        json.dumps(json_item(plot, ID("embeddings"))).replace("</", "<\\/"),
        f"url(data:{media_type};base64,{base64.b64encode(picture).decode()})",
        list(layouts),
        list(groupings),
        legends,
    )


def bokeh_script() -> str:
    """BokehJS with WebGL, gzip in base64: a third of its size, which counts in a page."""
    from bokeh.resources import Resources

    resources = Resources(mode="inline", components=["bokeh", "bokeh-gl"])
    script = "\n".join(resources.js_raw)
    return base64.b64encode(gzip.compress(script.encode(), 9, mtime=0)).decode()
