"""Grad-CAM of the same images round by round (the paper's Figure 7)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from and_tf.encoders.grad_cam import grad_cam
from and_tf.evaluation.nearest import nearest
from and_tf.figures.grids import image_grid
from and_tf.figures.heat import heat_overlay
from and_tf.figures.page import Picture, Section
from and_tf.figures.style import WIDTH
from and_tf.reporting.gathered import Gathered
from and_tf.runs.checkpoints import read_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGES = 8
TARGET = (
    "The maps show where the similarity to the nearest other row of the memory bank, as it stood then, "
    "comes from. Each map has its own scale."
)


def attention_section(gathered: Gathered) -> Section | None:
    """Grad-CAM of some training images from the checkpoint of each round; None where none are kept."""
    rounds = gathered.subject.rounds
    train = gathered.train
    if not rounds or train.rows is None:
        return None
    ids = np.linspace(0, len(train) - 1, min(IMAGES, len(train))).astype(int)
    if gathered.labels is not None:  # one of each class, as far as they go
        _, first = np.unique(gathered.labels, return_index=True)
        first = first[gathered.labels[first] >= 0]
        ids = first[np.linspace(0, len(first) - 1, min(IMAGES, len(first))).astype(int)]
    models = {f"round {number}": path for number, path in rounds.items()}
    figure = attention_figure(train.images(ids), models, own=train.rows[ids])
    look = (
        f"heat that moves from backgrounds and corners to the object as the rounds go on. {TARGET}"
    )
    return Section(
        "Grad-CAM", look, [Picture("grad-cam", "Images, and their maps by round", figure)]
    )


def attention_figure(
    images: np.ndarray, models: Mapping[str, Path], own: np.ndarray | None = None
) -> Figure:
    """The images at the left, and their heat maps by the model of each round.

    Args:
        images: uint8 [n, H, W, 3].
        models: What a column is called, to the `.keras` file of its model.
        own: int [n], the images' own rows in the bank; None for images that are not in it.

    Returns:
        A Matplotlib figure.
    """
    columns = [images]
    for path in models.values():
        model = read_model(path, compile=False)
        bank = model.bank.numpy()
        embeddings = model.encoder(images, training=False).numpy()
        ids, _ = nearest(embeddings, bank, 1, own)
        columns.append(heat_overlay(images, grad_cam(model.encoder, images, bank[ids[:, 0]])))
    cell = min(84, WIDTH / len(columns) - 4)
    return image_grid(np.stack(columns, axis=1), column_titles=["image", *models], cell=cell)
