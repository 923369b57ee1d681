"""Weighted k-nearest-neighbour classification, the paper's measure of an encoder."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


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
    if len(labels) != len(rows):
        raise ValueError(
            f"Every row needs a label. Received: {len(rows)} rows, {len(labels)} labels"
        )
    num_classes = num_classes or int(labels.max(initial=-1)) + 1
    voters = np.flatnonzero(labels >= 0)
    neighbours = min(neighbours, len(voters) - exclude_self)
    if neighbours < 1 or num_classes < 1:
        raise ValueError(
            "kNN needs at least one labelled row and one neighbour. "
            f"Received: {len(voters)} labelled rows, neighbours={neighbours}"
        )
    voting_rows = tf.constant(np.asarray(rows, np.float32)[voters])
    voting_labels = tf.constant(labels[voters], tf.int32)
    scores = []
    for start in range(0, len(queries), block_size):
        block = tf.constant(np.asarray(queries[start : start + block_size], np.float32))
        similarities = tf.matmul(block, voting_rows, transpose_b=True)
        if exclude_self:
            own_ids = np.arange(start, start + len(block))
            similarities = tf.where(voters == own_ids[:, None], -np.inf, similarities)
        nearest, ids = tf.math.top_k(similarities, neighbours)
        weights = tf.nn.softmax(nearest / temperature, axis=-1)
        votes = tf.one_hot(tf.gather(voting_labels, ids), num_classes)
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
) -> float:
    """Share of labelled queries whose highest `knn_scores` is their class.

    Args:
        queries: float [Q, d], unit embeddings.
        query_labels: int [Q]; queries of a negative class are not counted.
        rows, labels, neighbours, temperature, exclude_self: As in `knn_scores`.

    Returns:
        Top-1 accuracy in [0, 1]; NaN if no query has a label.
    """
    query_labels = np.asarray(query_labels)
    scores = knn_scores(queries, rows, labels, neighbours, temperature, exclude_self=exclude_self)
    labelled = query_labels >= 0
    if not labelled.any():
        return float("nan")
    return float(np.mean(scores.argmax(axis=-1)[labelled] == query_labels[labelled]))
