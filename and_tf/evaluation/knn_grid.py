"""Weighted kNN for many numbers of neighbours and temperatures, from one search."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from and_tf.evaluation.known_labels import numbered
from and_tf.evaluation.nearest import nearest_rows

NEIGHBOURS = (1, 5, 10, 20, 50, 100, 200)
TEMPERATURES = (0.07, 0.1)
PAPER = (200, 0.1)
"""K and the temperature of the AND paper's figures, as its authors' code has them; its text says 0.07."""
TOP = 5


@dataclasses.dataclass(frozen=True)
class KNNGrid:
    """Accuracies of weighted kNN.

    Attributes:
        neighbours: K of each row of the table.
        temperatures: Of each column.
        top1: float [K, T], share of queries whose class has the highest vote.
        top5: float [K, T], share of queries whose class is among the five of the highest votes.
        chosen: int [K, T, Q], the class chosen for each labelled query, as `classes` numbers it.
        truth: int [Q], its own class.
    """

    neighbours: tuple[int, ...]
    temperatures: tuple[float, ...]
    top1: np.ndarray
    top5: np.ndarray
    chosen: np.ndarray
    truth: np.ndarray


def knn_grid(
    queries: np.ndarray,
    query_labels: np.ndarray,
    rows: np.ndarray,
    labels: np.ndarray,
    neighbours: Sequence[int] = NEIGHBOURS,
    temperatures: Sequence[float] = TEMPERATURES,
    exclude_self: bool = False,
) -> KNNGrid:
    """Accuracies for every K and temperature; the votes are those of `and_tf.evaluation.knn`.

    Args:
        queries: float [Q, d], unit embeddings.
        query_labels: int [Q]; queries without a label (negative) are left out.
        rows: float [N, d], unit embeddings that vote.
        labels: int [N]; rows without a label have no vote.
        neighbours: K; those above the number of voters are left out, the number itself comes in.
        temperatures: Of the vote.
        exclude_self: Query i is row i, and has no vote on itself.

    Raises:
        ValueError: No query or no voter has a label.

    Source: Wu et al., CVPR 2018, section 3.4, as the AND paper evaluates.
    """
    query_labels, labels = numbered(query_labels, labels)
    asked, voters = np.flatnonzero(query_labels >= 0), np.flatnonzero(labels >= 0)
    most = len(voters) - exclude_self
    if most < 1 or not len(asked):
        raise ValueError(
            "kNN needs a labelled query and another labelled row that votes. "
            f"Received: {len(asked)} and {len(voters)}"
        )
    ks = tuple(sorted({min(k, most) for k in neighbours}))
    own = None
    if exclude_self:
        place = np.full(len(labels), -1)
        place[voters] = np.arange(len(voters))
        own = place[asked]
    truth, classes = query_labels[asked], int(max(query_labels.max(), labels.max())) + 1
    shape = len(ks), len(temperatures)
    chosen, ranks = np.empty((2, *shape, len(asked)), np.int64)
    done = 0
    for ids, similarities in nearest_rows(queries[asked], rows[voters], ks[-1], own):
        block = slice(done, done + len(ids))
        voted = labels[voters[ids]]
        for column, temperature in enumerate(temperatures):
            weights = np.exp((similarities - similarities[:, :1]) / temperature)
            scores = np.zeros((len(ids), classes))
            for row, (first, last) in enumerate(zip((0, *ks), ks, strict=False)):
                places = voted[:, first:last] + classes * np.arange(len(ids))[:, None]
                votes = weights[:, first:last].ravel()
                scores += np.bincount(places.ravel(), votes, scores.size).reshape(scores.shape)
                chosen[row, column, block] = scores.argmax(axis=1)
                ranks[row, column, block] = _ranks(scores, truth[block])
        done = block.stop
    return KNNGrid(
        ks,
        tuple(temperatures),
        (chosen == truth).mean(axis=-1),
        (ranks < TOP).mean(axis=-1),
        chosen,
        truth,
    )


def _ranks(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How many classes come before the true one, int [q]; without a vote it comes last of all."""
    own = np.take_along_axis(scores, truth[:, None], axis=1)
    before = (scores > own) | ((scores == own) & (np.arange(scores.shape[1]) < truth[:, None]))
    return np.where(own[:, 0] > 0, before.sum(axis=1), scores.shape[1] + TOP)


def confusion(truth: np.ndarray, chosen: np.ndarray, classes: int) -> np.ndarray:
    """How many examples of each class (row) were taken for each class (column), int [C, C]."""
    pairs = np.asarray(truth) * classes + np.asarray(chosen)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def mean_class_accuracy(table: np.ndarray) -> float:
    """The mean of the accuracies of all classes that occur, of a `confusion`."""
    sizes = table.sum(axis=1)
    return float(np.mean(np.diag(table)[sizes > 0] / sizes[sizes > 0]))
