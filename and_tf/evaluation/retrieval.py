"""Whether the images nearest to an image are of its class, and which images are odd."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from and_tf.evaluation.known_labels import numbered
from and_tf.evaluation.nearest import nearest_rows


def retrieval(
    embeddings: np.ndarray, labels: np.ndarray, counts: Sequence[int] = (1, 5, 10)
) -> dict[str, float] | None:
    """Every labelled row asks for those of its class among all other labelled rows.

    Args:
        embeddings: float [N, d], unit rows.
        labels: integers or strings [N]; rows without a label (negative, "") do not count.
        counts: k of recall@k.

    Returns:
        `recall@k`, the share of rows with one of their class among the k nearest; `map@r`, the mean
        over rows of (1/R) sum over i = 1..R of precision@i where the i-th nearest is of the class, R
        the number of others of the class. Rows that are alone in their class do not ask. None where
        all are.

    Source: Musgrave et al., ECCV 2020, section 3.2 (MAP@R).
    """
    (labels,) = numbered(labels)
    has_label = np.flatnonzero(labels >= 0)
    x, labels = np.asarray(embeddings)[has_label], labels[has_label]
    others = np.bincount(labels, minlength=1)[labels] - 1
    asking = np.flatnonzero(others > 0)
    if not len(asking):
        return None
    deepest = min(max(*counts, others.max()), len(x) - 1)
    recalls: dict[int, list[np.ndarray]] = {count: [] for count in counts}
    precisions, done = [], 0
    for ids, _ in nearest_rows(x[asking], x, deepest, own=asking):
        queries = asking[done : done + len(ids)]
        done += len(ids)
        hits = labels[ids] == labels[queries][:, None]
        for count in counts:
            recalls[count].append(hits[:, :count].any(axis=1))
        places = np.arange(1, deepest + 1)
        counted = hits & (places <= others[queries][:, None])
        precision = np.cumsum(counted, axis=1) / places
        precisions.append((precision * counted).sum(axis=1) / others[queries])
    found = {f"recall@{count}": float(np.concatenate(hit).mean()) for count, hit in recalls.items()}
    return found | {"map@r": float(np.concatenate(precisions).mean())}


def outliers(similarities: np.ndarray, count: int = 20) -> np.ndarray:
    """The rows whose nearest neighbour is farthest, farthest first, int [count].

    Args:
        similarities: float [N], of each row to its nearest other row.
        count: How many; all where there are fewer.
    """
    return np.argsort(similarities, kind="stable")[:count]


def near_duplicates(
    neighbours: np.ndarray, similarities: np.ndarray, least: float = 0.99, count: int = 20
) -> list[tuple[int, int, float]]:
    """Pairs of rows that are almost the same, most similar first: (row, row, similarity).

    Args:
        neighbours: int [N, k], ids of each row's nearest other rows.
        similarities: float [N, k], to each of them.
        least: The least similarity of a pair.
        count: How many pairs.
    """
    ones, places = np.nonzero(similarities >= least)
    others = neighbours[ones, places]
    pairs = np.stack([np.minimum(ones, others), np.maximum(ones, others)], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    values = similarities[ones, places]
    first = first[np.argsort(-values[first], kind="stable")][:count]
    return [(int(pairs[i, 0]), int(pairs[i, 1]), float(values[i])) for i in first]
