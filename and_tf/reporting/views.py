"""What training sees: augmented views."""

from __future__ import annotations

import numpy as np

from and_tf.data.augment import Augment
from and_tf.figures.grids import image_grid
from and_tf.figures.page import Picture, Section
from and_tf.judging.subject import Part
from and_tf.runs.config import RunConfig

IMAGES = 8
VIEWS = 8


def views_section(train: Part, config: RunConfig) -> Section:
    """Some images, each with views as the first epochs show them."""
    ids = np.linspace(0, len(train) - 1, min(IMAGES, len(train))).astype(int)
    images = train.images(ids)
    augment = Augment(**config.augment.model_dump())
    places = ids if train.rows is None else train.rows[ids]
    views = [augment(images, places, epoch, config.seed).numpy() for epoch in range(VIEWS)]
    views = np.clip(np.rint(np.stack(views, axis=1)), 0, 255).astype(np.uint8)
    grid = np.concatenate([images[:, None], views], axis=1)
    titles = ["image", "views", *[""] * (VIEWS - 1)]
    look = (
        "views in which you would still know the image: a digit that is cut off, or a colour that carries "
        "the class and is lost, asks for other settings of augment."
    )
    figure = image_grid(grid, column_titles=titles)
    return Section("Augmented views", look, [Picture("views", "As training sees them", figure)])
