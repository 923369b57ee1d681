"""Exact search: every row is compared with every other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from and_tf.pairwise import search_pairs

Progress = Callable[[float], None]
"""Told the share of the work that is done, from 0 to 1."""

_STRIPE_ELEMENTS = 1 << 26  # similarities held at once: 256 MB of float32


def search_exactly(
    bank: np.ndarray, neighbours: int, temperature: float, progress: Progress = lambda share: None
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest other rows and entropy of every row.

    Args:
        bank: float32 [N, d], rows of about unit length.
        neighbours: k, from 1 to N - 1.
        temperature: tau of the entropy.
        progress: Told how far the search is.

    Returns:
        int32 [N, k], ids of the nearest rows, nearest first, without the row itself; and float32
        [N], entropies in nats, with the row itself.

    Raises:
        ValueError: On a CPU, rows not of about unit length.

    Source: Eq. 1 and Eq. 5 of the AND paper.
    """
    if not tf.config.get_visible_devices("GPU"):
        return search_pairs(bank, neighbours, temperature, progress)
    bank = tf.constant(bank)
    num_examples, found = len(bank), []
    for start in range(0, num_examples, 16384):
        rows = np.arange(start, min(start + 16384, num_examples))
        found.append(search_rows(bank, rows, neighbours, temperature))
        progress((start + len(rows)) / num_examples)
    ids, entropies = zip(*found, strict=True)
    return np.concatenate(ids), np.concatenate(entropies)


def search_rows(
    bank: tf.Tensor, rows: np.ndarray, neighbours: int, temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    """What `search_exactly` finds for some of the rows: stripes of them against the whole bank.

    Args:
        bank: float32 [N, d].
        rows: int [B], ids.
        neighbours: k.
        temperature: tau of the entropy.

    Returns:
        int32 [B, k] and float32 [B].
    """
    stripe = max(1, min(4096, _STRIPE_ELEMENTS // len(bank)))
    found = [
        _search_stripe(
            bank,
            tf.constant(rows[start : start + stripe], tf.int32),
            tf.constant(temperature, tf.float32),
            neighbours,
        )
        for start in range(0, len(rows), stripe)
    ]
    ids, entropies = zip(*found, strict=True)
    return np.concatenate(ids), np.concatenate(entropies)


@tf.function(reduce_retracing=True)
def _search_stripe(
    bank: tf.Tensor, rows: tf.Tensor, temperature: tf.Tensor, neighbours: int
) -> tuple[tf.Tensor, tf.Tensor]:
    similarities = tf.matmul(tf.gather(bank, rows), bank, transpose_b=True)
    entropy = softmax_entropy(similarities / temperature)

    # The row itself is dropped by id, not by rank: an exact copy may come before it.
    _, candidates = tf.math.top_k(similarities, neighbours + 1)
    is_self = tf.cast(candidates == rows[:, tf.newaxis], tf.int32)
    order = tf.argsort(is_self, axis=-1, stable=True)[:, :neighbours]
    return tf.gather(candidates, order, batch_dims=1), entropy


def softmax_entropy(logits: tf.Tensor) -> tf.Tensor:
    """Entropy in nats of the softmax of each row.

    Args:
        logits: float32 [B, N].

    Returns:
        float32 [B].

    Source: Eq. 5 of the AND paper.
    """
    shifted = logits - tf.reduce_max(logits, axis=-1, keepdims=True)
    exponentials = tf.exp(shifted)
    total = tf.reduce_sum(exponentials, axis=-1)
    mean = tf.reduce_sum(exponentials * shifted, axis=-1) / total
    return tf.math.log(total) - mean
