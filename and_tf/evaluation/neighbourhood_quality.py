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
