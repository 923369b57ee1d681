"""How good discovered neighbourhoods and embeddings are, with labels and without."""

from __future__ import annotations

import numpy as np

from and_tf.evaluation.known_labels import numbered


def consistency(anchors: np.ndarray, neighbours: np.ndarray, labels: np.ndarray) -> float | None:
    """Share of (anchor, neighbour) pairs of one class.

    Args:
        anchors: int [A], ids.
        neighbours: int [A, k], neighbours of each anchor.
        labels: integers or strings [N]; pairs without a label (negative, "") are not counted.

    Returns:
        Share in [0, 1]; None if there is no labelled pair.

    Source: section 4.3 of the AND paper.
    """
    (labels,) = numbered(labels)
    anchor_labels = np.broadcast_to(labels[anchors][:, None], neighbours.shape)
    neighbour_labels = labels[neighbours]
    labelled = (anchor_labels >= 0) & (neighbour_labels >= 0)
    if not labelled.any():
        return None
    return float(np.mean((anchor_labels == neighbour_labels)[labelled]))


def embedding_spread(embeddings: np.ndarray) -> float:
    """Total variance of unit embeddings, `1 - |mean|^2`.

    Args:
        embeddings: float [N, d], unit rows.

    Returns:
        About 1 when they cover the sphere, 0 when they have collapsed to one point.
    """
    mean = np.mean(embeddings, axis=0, dtype=np.float64)
    return float(max(0.0, 1.0 - np.sum(mean**2)))  # rounding may bring it below 0


def consistent_shares(neighbours: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of each row's labelled neighbours that are of its class, float [N]; NaN where unknown.

    Args:
        neighbours: int [N, k], neighbours of each row.
        labels: int [N], -1 for none.
    """
    of_neighbours = labels[neighbours]
    known = (of_neighbours >= 0) & (labels >= 0)[:, None]
    hits = ((of_neighbours == labels[:, None]) & known).sum(axis=1)
    counts = known.sum(axis=1)
    return np.where(counts > 0, hits / np.maximum(counts, 1), np.nan)


def neighbour_agreement(ones: np.ndarray, others: np.ndarray) -> float:
    """Mean share of each row's neighbours that are among its neighbours in another space.

    Args:
        ones, others: int [N, k], ids.
    """
    both = np.sort(np.concatenate([ones, others], axis=1), axis=1)
    return float(np.mean((both[:, 1:] == both[:, :-1]).sum(axis=1) / ones.shape[1]))
