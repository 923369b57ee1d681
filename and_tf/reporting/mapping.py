"""The map of a report."""

from __future__ import annotations

import numpy as np

from and_tf.figures.interactive_map import InteractiveMap, interactive_map
from and_tf.figures.maps import thumbnail_map
from and_tf.figures.page import Picture, Section
from and_tf.reporting.gathered import Gathered
from and_tf.reporting.layouts import neighbour_layout, pca_layout


def map_section(gathered: Gathered, light: bool = False) -> Section:
    """All training images in a plane.

    Args:
        gathered: Of the subject.
        light: PCA alone, which takes no time.
    """
    train, placed = gathered.train, gathered.placed
    rows = train.embeddings[placed]
    layouts = {"PCA": pca_layout(rows)}
    if not light and len(rows) > 3:
        name, positions = neighbour_layout(rows, layouts["PCA"])
        layouts = {name: positions} | layouts
    clusters = gathered.clusters[placed]
    count = int(clusters.max()) + 1
    groupings = {"cluster": (clusters, [str(number + 1) for number in range(count)])}
    if gathered.labels is not None:
        classes = [gathered.name_of(label) for label in range(int(gathered.labels.max()) + 1)]
        groupings = {"label": (gathered.labels[placed], classes)} | groupings
    images = train.images(placed)
    is_files = train.image_set is not None and train.image_set.sources is not None
    names = [train.sources[index] for index in placed] if is_files else None
    groups = next(iter(groupings.values()))[0]
    still = thumbnail_map(next(iter(layouts.values())), images, np.asarray(groups))
    title = f"{len(placed):,} training images by {next(iter(layouts))}"
    look = (
        "islands of one colour, and what lies between them: scroll to zoom, drag to move, point at an "
        "example to see its image. Distances within an island mean more than those between islands."
    )
    parts: list[InteractiveMap | Picture] = [
        interactive_map(layouts, groupings, images, names),
        Picture("map", title, still, in_print_only=True),
    ]
    return Section("Map", look, parts)
