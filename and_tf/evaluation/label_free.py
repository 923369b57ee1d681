"""How embeddings lie on the sphere: measures that need no label."""

from __future__ import annotations

import numpy as np

MOST_PAIRED = 4096
"""Rows of which all pairs are compared; of more, a random sample of so many."""


def uniformity(embeddings: np.ndarray, seed: int = 0) -> float:
    """Logarithm of the mean of exp(-2 |x - y|^2) over pairs of rows.

    Args:
        embeddings: float [N, d], at least two unit rows.
        seed: Of the sample where there are more than `MOST_PAIRED` rows.

    Returns:
        0 where all rows are one point; about -4 + 8 / d where they are spread evenly over the sphere.

    Source: Wang & Isola, ICML 2020, section 4.2, with t = 2.
    """
    x = sample(np.asarray(embeddings, np.float32), MOST_PAIRED, seed)
    similarities = x @ x.T
    potential = np.exp(4 * (np.minimum(similarities, 1) - 1), dtype=np.float64)
    count = len(x)
    return float(np.log((potential.sum() - np.trace(potential)) / (count * (count - 1))))


def alignment(ones: np.ndarray, others: np.ndarray) -> float:
    """Mean squared distance of the embeddings of two views of each image.

    Args:
        ones, others: float [N, d], unit rows.

    Returns:
        From 0, where both views are one point, to 4; 2 for views that have nothing in common.

    Source: Wang & Isola, ICML 2020, section 4.2, with alpha = 2.
    """
    return float(np.mean(np.sum((ones - others) ** 2, axis=1, dtype=np.float64)))


def effective_rank(embeddings: np.ndarray) -> float:
    """RankMe: the exponential of the entropy of the singular values, scaled to sum to one.

    Args:
        embeddings: float [N, d].

    Returns:
        From 1, where all rows lie on one line, to min(N, d).

    Source: Garrido et al., ICML 2023, Eq. 1.
    """
    x = np.asarray(embeddings)
    gram = np.asarray(x.T @ x, np.float64)
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0))
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-np.sum(shares * np.log(shares))))


def mutual_share(nearest: np.ndarray) -> float:
    """Share of rows that are the nearest neighbour of their own nearest neighbour.

    Args:
        nearest: int [N], each row's nearest other row.
    """
    return float(np.mean(nearest[nearest] == np.arange(len(nearest))))


def neighbour_counts(neighbours: np.ndarray) -> np.ndarray:
    """How often each row is among the neighbours of others, int [N].

    Args:
        neighbours: int [N, k], ids of each row's nearest other rows.
    """
    return np.bincount(np.ravel(neighbours), minlength=len(neighbours))


def hubness(neighbours: np.ndarray) -> dict[str, float]:
    """How unevenly rows are the neighbours of others.

    Args:
        neighbours: int [N, k], ids of each row's nearest other rows.

    Returns:
        `most`: how often the most popular row is a neighbour (k on average); `skewness` of these counts,
        0 where all are alike; `never`: the share of rows that are nobody's neighbour.

    Source: Radovanovic et al., JMLR 2010, section 2.
    """
    from scipy import stats  # half a second, which training should not wait for

    counts = neighbour_counts(neighbours)
    skewness = float(stats.skew(counts)) if counts.std() > 0 else 0.0
    return {
        "most": float(counts.max()),
        "skewness": skewness,
        "never": float(np.mean(counts == 0)),
    }


COLLAPSED, UNTRAINED, HEALTHY = "collapsed", "not trained yet", "healthy"


def verdict(spread: float, rank: float, uniform: float, dim: int) -> str:
    """What the embeddings are: "collapsed", "not trained yet" or "healthy".

    An encoder with random weights gives a narrow cone of directions: a spread of 0.01 to 0.04, yet an
    effective rank of 7 to 18 (conv4 and ResNet-18 on digits, SVHN and CIFAR-10). One that collapses is
    as narrow and loses its directions, too: an effective rank of 1 to 4. Trained ones have a uniformity
    below -3. The limits stand between.

    Args:
        spread: `and_tf.evaluation.embedding_spread`.
        rank: `effective_rank`.
        uniform: `uniformity`.
        dim: d.
    """
    few_directions = rank < min(5, dim / 4)
    if spread < 0.002 or rank < 1.5 or (spread < 0.05 and few_directions):
        return COLLAPSED
    return UNTRAINED if uniform > -1 else HEALTHY


def sample(rows: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """The rows, or a random sample of `most` of them in their order."""
    if len(rows) <= most:
        return rows
    chosen = np.random.default_rng(seed).choice(len(rows), most, replace=False)
    return rows[np.sort(chosen)]
