"""The rows' embeddings in the plane, on which the server's page places an image."""

from __future__ import annotations

import numpy as np

from and_tf.exporting.rows import Rows

MOST_POINTS = 2000


def project(bank: Rows, most_points: int = MOST_POINTS) -> dict:
    """The first two principal components of the rows, and a sample of the rows in them.

    Args:
        bank: At least one row.
        most_points: Rows are taken at equal distances.

    Returns:
        `assets.extra/projection.json`: `mean` [d] and `components` [2, d], so that the place of an embedding x is
        components (x - mean); `explained` [2], each component's share of the variance; `rows` [P],
        which rows were taken, `points` [P, 2], their places, `labels` [P], their classes or -1; and
        `class_names`.
    """
    embeddings = bank.embeddings
    mean = embeddings.mean(axis=0, dtype=np.float64)
    covariance = np.cov(embeddings, rowvar=False, bias=True).reshape(len(mean), len(mean))
    variances, directions = np.linalg.eigh(covariance)
    # From the largest; two even where d is one.
    components = np.zeros((2, len(mean)))
    largest = directions.T[::-1][:2]
    components[: len(largest)] = largest
    # An eigenvector's sign is arbitrary: the largest entry is made positive.
    signs = np.sign(components[np.arange(2), np.abs(components).argmax(axis=1)])
    components *= np.where(signs == 0, 1, signs)[:, None]
    explained = np.zeros(2)
    explained[: len(largest)] = np.maximum(variances[::-1][:2], 0) / max(variances.sum(), 1e-12)
    count = min(len(embeddings), most_points)
    rows = np.linspace(0, len(embeddings) - 1, count).round().astype(int)
    points = (embeddings[rows] - mean) @ components.T
    return {
        "mean": _rounded(mean),
        "components": _rounded(components),
        "explained": _rounded(explained),
        "rows": rows.tolist(),
        "points": _rounded(points),
        "labels": bank.labels[rows].tolist(),
        "class_names": list(bank.class_names),
    }


def _rounded(values: np.ndarray) -> list:
    return np.round(values, 5).tolist()
