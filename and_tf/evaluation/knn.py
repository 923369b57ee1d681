"""Weighted k-nearest-neighbour classification, the paper's measure of an encoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import numpy as np
import tensorflow as tf

from and_tf.evaluation.known_labels import known, numbered
from and_tf.evaluation.nearest import nearest_rows


def knn_scores(
    queries: np.ndarray,
    rows: np.ndarray,
    labels: np.ndarray,
    neighbours: int,
    temperature: float,
    num_classes: int | None = None,
    exclude_self: bool = False,
    block_size: int = 256,
) -> np.ndarray:
    """Class scores of each query: its nearest rows vote with weight exp(similarity / temperature).

    Args:
        queries: float [Q, d], unit embeddings.
        rows: float [N, d], unit embeddings that vote.
        labels: int [N], class of each row; rows of a negative class have no vote.
        neighbours: K, how many nearest rows vote; all of them if there are fewer.
        temperature: Of the vote.
        num_classes: C. Default: the largest label plus one.
        exclude_self: Leave query i's own row i out of the vote: for rows that vote on themselves.
        block_size: Queries compared with all rows at once.

    Returns:
        float32 [Q, C], rows that sum to one.

    Raises:
        ValueError: Labels that do not match the rows, or no row left to vote.

    Source: Wu et al., CVPR 2018, section 3.4, as the AND paper evaluates.
    """
    labels = np.asarray(labels)
    num_classes = num_classes or int(labels.max(initial=-1)) + 1
    if num_classes < 1:
        _refuse(0, neighbours)
    own = np.arange(len(queries)) if exclude_self else None
    scores = []
    for ids, weights in _votes(
        queries, rows, labels >= 0, neighbours, temperature, own, block_size
    ):
        votes = tf.one_hot(labels[ids], num_classes)
        scores.append(tf.einsum("qk,qkc->qc", weights, votes).numpy())
    return np.concatenate(scores)


def knn_accuracy(
    queries: np.ndarray,
    query_labels: np.ndarray,
    rows: np.ndarray,
    labels: np.ndarray,
    neighbours: int = 200,
    temperature: float = 0.1,
    exclude_self: bool = False,
    block_size: int = 256,
) -> float | None:
    """Share of labelled queries whose class has the highest of the `knn_scores`.

    The number of classes and the size of their numbers cost nothing.

    Args:
        queries: float [Q, d], unit embeddings.
        query_labels: integers or strings [Q]; queries without a label (negative, "") do not count.
        rows, neighbours, temperature, exclude_self, block_size: As in `knn_scores`.
        labels: integers or strings [N], as `query_labels`; rows without one have no vote.

    Returns:
        Top-1 accuracy in [0, 1]; None where no query has a label.

    Raises:
        ValueError: Labels that do not match the rows, or no row left to vote.
    """
    query_labels, labels = numbered(query_labels, labels)
    asked = np.flatnonzero(query_labels >= 0)
    if not len(asked):
        return None
    votes = _votes(
        np.asarray(queries)[asked],
        rows,
        labels >= 0,
        neighbours,
        temperature,
        asked if exclude_self else None,
        block_size,
    )
    chosen = np.concatenate([_weightiest(labels[ids], weights) for ids, weights in votes])
    return float(np.mean(chosen == query_labels[asked]))


def odd_neighbours(
    name: str, neighbours: int, counts: dict[str, int], has_test: bool
) -> str | None:
    """What is odd about a K above the voters or above those of a class; None where nothing is.

    Args:
        name: What the user calls K.
        neighbours: K.
        counts: The labelled training images of each class, by its name.
        has_test: As in `why_no_accuracy`.
    """
    total, itself = sum(counts.values()), int(not has_test)
    smallest = min(counts, key=lambda name: counts[name])
    alone = sum(count == itself for count in counts.values())
    if alone and total > 1:
        return (
            f"{alone:,} of {total:,} labelled images are alone in their class, so that no other can vote "
            f"for it: the accuracy is {1 - alone / total:.1%} at most"
        )
    if neighbours > total - itself >= 1:
        return (
            f"{name} is {neighbours}, more than have a label: K is {total - itself:,}, so that every "
            "labelled image votes each time"
        )
    if neighbours > counts[smallest] - itself and len(counts) > 1:
        others = f"{counts[smallest] - itself:,}" + (" more" if itself else "")
        return (
            f"{name} is {neighbours}, and images of the smallest class, {smallest}, have {others} of it "
            "to vote for them: other classes may outvote it"
        )
    return None


def why_no_accuracy(
    labels: np.ndarray | None, test_labels: np.ndarray | None = None, has_test: bool = True
) -> str | None:
    """Why labels leave nothing to measure an accuracy of; None where they do not.

    Args:
        labels: integers or strings [N] of the training images, or None.
        test_labels: those of the images to classify, or None.
        has_test: Whether there are such; without them the training images classify each other.
    """
    voters = 0 if labels is None else int(known(labels).sum())
    asked = 0 if test_labels is None else int(known(test_labels).sum())
    if labels is None or not voters:
        return "no training image has a label"
    if voters > 1 and len(np.unique(numbered(labels)[0])) - (voters < len(labels)) == 1:
        return "all labelled training images are of one class"
    if not has_test and 1 < voters == len(np.unique(np.asarray(labels)[known(labels)])):
        return "every labelled training image has a class of its own"
    if not has_test:
        return "one training image alone has a label: no other can vote" if voters == 1 else None
    if test_labels is None or not asked:
        return "no test image has a label"
    numbers, test_numbers = numbered(labels, test_labels)
    if not np.isin(test_numbers[test_numbers >= 0], numbers).any():
        return "no test image is of a class that a training image has"
    return None


def _votes(
    queries: np.ndarray,
    rows: np.ndarray,
    voting: np.ndarray,
    neighbours: int,
    temperature: float,
    own: np.ndarray | None,
    block_size: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield who votes on a block of queries, int [q, K] of rows, and with what share, float32 [q, K].

    `voting` says which rows vote; `own`, int [Q], which row each query is, and leaves it out.
    """
    if len(voting) != len(rows):
        raise ValueError(
            f"Every row needs a label. Received: {len(rows)} rows, {len(voting)} labels"
        )
    voters = np.flatnonzero(voting)
    most = min(neighbours, len(voters) - (own is not None))
    if most < 1:
        _refuse(len(voters), neighbours)
    if own is not None:
        place = np.full(len(rows), -1)
        place[voters] = np.arange(len(voters))
        own = place[own]
    for ids, nearest in nearest_rows(queries, np.asarray(rows)[voters], most, own, block_size):
        yield voters[ids], tf.nn.softmax(nearest / temperature, axis=-1).numpy()


def _weightiest(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The label of the greatest sum of weights in each row, the least label among equals.

    Args:
        labels: int [q, K].
        weights: float [q, K].

    Returns:
        int [q].
    """
    order = np.argsort(labels, axis=1, kind="stable")
    labels = np.take_along_axis(labels, order, axis=1)
    # Equal labels now stand together: number these groups, and add up the weights of each.
    groups = np.zeros_like(labels)
    groups[:, 1:] = np.cumsum(labels[:, 1:] != labels[:, :-1], axis=1)
    places = groups + np.arange(len(groups))[:, None] * groups.shape[1]
    weights = np.take_along_axis(weights, order, axis=1)
    sums = np.bincount(places.ravel(), weights.ravel(), groups.size).reshape(groups.shape)
    first = np.argmax(groups == sums.argmax(axis=1)[:, None], axis=1)
    return labels[np.arange(len(labels)), first]


def _refuse(voters: int, neighbours: int) -> NoReturn:
    raise ValueError(
        "kNN needs at least one labelled row and one neighbour. "
        f"Received: {voters} labelled rows, neighbours={neighbours}"
    )
