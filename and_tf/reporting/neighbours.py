"""Neighbour grids: the most and the least certain, hubs, wrong ones, and what each round takes."""

from __future__ import annotations

import numpy as np

from and_tf.discovery.neighbourhoods import discover
from and_tf.evaluation.label_free import neighbour_counts
from and_tf.figures.grids import image_grid, image_sheet
from and_tf.figures.page import Picture, Section
from and_tf.method.curriculum import select_anchors
from and_tf.reporting.gathered import Gathered
from and_tf.runs.checkpoints import read_model

ROWS = 8
"""Examples in a grid."""
SHOWN = 8
"""Neighbours of each."""
PER_ROUND = 20


def neighbours_section(gathered: Gathered) -> Section:
    """Examples with their nearest others."""
    entropy = gathered.entropy
    order = np.argsort(entropy, kind="stable")
    popularity = neighbour_counts(gathered.neighbours)
    hubs = np.argsort(-popularity, kind="stable")[:ROWS]
    parts = [
        _grid(
            gathered,
            "most-certain",
            "Most certain: the lowest entropy, nats",
            order[:ROWS],
            entropy,
        ),
        _grid(
            gathered,
            "least-certain",
            "Least certain: the highest entropy, nats",
            order[::-1][:ROWS],
            entropy,
        ),
        _grid(
            gathered,
            "hubs",
            f"Most popular: how many have it among their {gathered.neighbours.shape[1]} nearest",
            hubs,
            popularity,
        ),
    ]
    agrees = gathered.agreement(np.arange(len(order)), gathered.neighbours)
    wrong = order[agrees[order, 0] == 0][:ROWS]
    if len(wrong):
        title = "Wrong although certain: the nearest is of another class"
        parts.append(_grid(gathered, "wrong", title, wrong, entropy))
    framed = (
        " Blue frames are of the same class, orange ones of another." if (agrees >= 0).any() else ""
    )
    look = (
        "neighbours that show the same thing as the image at their left, and hubs that are typical images "
        "rather than blank or odd ones. Late in training a low entropy may also mean an image that stands "
        f"alone, since few others share its softmax.{framed}"
    )
    return Section("Neighbours", look, parts)


def _grid(
    gathered: Gathered, name: str, title: str, ids: np.ndarray, values: np.ndarray
) -> Picture:
    """Examples at the left, each with a number, and its neighbours."""
    others = gathered.neighbours[ids][:, :SHOWN]
    together = np.concatenate([ids[:, None], others], axis=1)
    images = gathered.train.images(together.ravel())
    agrees = np.concatenate([np.full((len(ids), 1), -1), gathered.agreement(ids, others)], axis=1)
    numbers = values[ids]
    titles = [f"{v:,}" if numbers.dtype.kind in "iu" else f"{v:.2f}" for v in numbers]
    figure = image_grid(images.reshape(*together.shape, *images.shape[1:]), agrees, titles)
    return Picture(name, title, figure)


def curriculum_section(gathered: Gathered) -> Section | None:
    """What each round takes in beside those before it; None where no bank of a round is kept."""
    subject = gathered.subject
    config = subject.config
    if config is None or not config.curriculum.rounds:
        return None
    total, count = config.curriculum.rounds, config.curriculum.neighbours
    parts = []
    for number in range(1, total + 1):
        if (before := subject.rounds.get(number - 1)) is None:
            continue
        # The bank that the search of this round read.
        bank = read_model(before, compile=False).bank.numpy()[subject.train.rows]
        found = discover(bank, count, config.objective.temperature, config.curriculum.searcher)
        anchors = select_anchors(found.entropy, number, total)
        if not len(anchors):
            continue
        least = anchors[np.argsort(found.entropy[anchors], kind="stable")]
        shown = least[np.linspace(0, len(least) - 1, min(PER_ROUND, len(least))).astype(int)]
        pairs = np.stack([shown, found.neighbours[shown, 0]], axis=1)
        agrees = gathered.agreement(shown, pairs[:, 1:])[:, 0]
        images = gathered.train.images(pairs.ravel())
        images = images.reshape(len(pairs), 2, *images.shape[1:])
        # An anchor and its neighbour are one picture.
        images = np.concatenate([images[:, 0], images[:, 1]], axis=2)
        title = f"Round {number}: {len(anchors):,} anchors, from the most to the least certain"
        parts.append(Picture(f"round-{number}", title, image_sheet(images, agrees, wide=2)))
    if not parts:
        return None
    look = (
        "simple, typical images in the first rounds and harder ones later; each picture is an anchor "
        "and, at its right, the neighbour that it is pulled to."
    )
    return Section("What the curriculum takes", look, parts)
