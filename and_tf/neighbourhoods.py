"""Neighbourhood discovery: from a bank to every example's neighbours and entropy."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

_BLOCK_ELEMENTS = 1 << 26  # similarities held at once: 256 MB of float32


@dataclasses.dataclass(frozen=True)
class Neighbourhoods:
    """What one discovery pass finds.

    Attributes:
        neighbours: int32 [N, k]. Nearest other rows by cosine similarity, nearest first (Eq. 1).
        entropy: float32 [N]. Entropy in nats of each row's softmax over all rows (Eq. 5).
    """

    neighbours: np.ndarray
    entropy: np.ndarray

    def mutual_share(self) -> float:
        """Share of rows that are the nearest neighbour of their own nearest neighbour."""
        nearest = self.neighbours[:, 0]
        return float(np.mean(nearest[nearest] == np.arange(len(nearest))))


def discover(
    bank: np.ndarray | tf.Tensor, neighbours: int, temperature: float, block_size: int | None = None
) -> Neighbourhoods:
    """Find every row's neighbours and entropy by exact search, in one blocked pass.

    Args:
        bank: float [N, d], unit rows.
        neighbours: k, the number of neighbours without the row itself.
        temperature: tau of the entropy.
        block_size: Rows compared with the whole bank at once. Default: as many as keep the block
            of similarities at 256 MB.

    Returns:
        The `Neighbourhoods`. The entropy counts the row itself, the neighbours do not.

    Raises:
        ValueError: k is not between 1 and N - 1.

    Source: Eq. 1 and Eq. 5 of the AND paper.
    """
    bank = tf.convert_to_tensor(bank, tf.float32)
    num_examples = int(bank.shape[0])
    if not 1 <= neighbours < num_examples:
        raise ValueError(
            "The number of neighbours must be at least 1 and less than the number of examples. "
            f"Received: neighbours={neighbours}, examples={num_examples}"
        )
    block_size = block_size or max(1, min(1024, _BLOCK_ELEMENTS // num_examples))
    found = [
        _discover_block(
            bank,
            tf.range(start, min(start + block_size, num_examples)),
            tf.constant(temperature, tf.float32),
            neighbours,
        )
        for start in range(0, num_examples, block_size)
    ]
    return Neighbourhoods(
        neighbours=np.concatenate([ids.numpy() for ids, _ in found]),
        entropy=np.concatenate([entropy.numpy() for _, entropy in found]),
    )


@tf.function(reduce_retracing=True)
def _discover_block(
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
