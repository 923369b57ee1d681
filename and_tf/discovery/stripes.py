"""Exact search in stripes: some of the rows against every shard of a bank, as accelerators do it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from and_tf.distribution.shards import Shards, nearest_of

_STRIPE_ELEMENTS = 1 << 26  # similarities held at once: 256 MB of float32


class StripeSearch:
    """Finds for some of the rows what `search_exactly` finds: stripes of them against each shard.

    A shard is searched on a GPU, one after the other where there are several. All holders search
    for the same rows, each in its shards; of each row and shard, 12 + 8 k bytes go to all.

    Args:
        shards: The bank.
        neighbours: k.
        temperature: tau of the entropy.
    """

    def __init__(self, shards: Shards, neighbours: int, temperature: float) -> None:
        self._shards = shards
        self._neighbours = neighbours
        self._temperature = tf.constant(temperature, tf.float32)
        gpus = itertools.cycle(tf.config.list_logical_devices("GPU") or [None])
        self._parts = []
        for (first, rows), gpu in zip(shards.parts, gpus, strict=False):
            with tf.device(gpu and gpu.name):
                self._parts.append((first, tf.constant(rows)))

    def __call__(self, ids: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Search for int [B] ids, rows float32 [B, d]: int32 [B, k] and float32 [B]."""
        stripe = max(1, min(4096, _STRIPE_ELEMENTS // max(self._shards.sizes)))
        found = [
            self._search_stripe(ids[start : start + stripe], rows[start : start + stripe])
            for start in range(0, len(rows), stripe)
        ]
        neighbours, entropies = zip(*found, strict=True)
        return np.concatenate(neighbours), np.concatenate(entropies)

    def _search_stripe(self, ids: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        of_parts = []
        for first, part in self._parts:
            with tf.device(part.device):
                of_parts.append(
                    _search_part(
                        part,
                        tf.constant(first),
                        tf.constant(ids, tf.int32),
                        tf.constant(rows),
                        self._temperature,
                        min(self._neighbours + 1, len(part)),
                    )
                )
        own_values, own_ids, own_sums = zip(*of_parts, strict=True) if of_parts else ((), (), ())
        shape = len(ids), self._neighbours
        found = self._of_all_shards(own_ids, np.int32, -1, shape)
        values = self._of_all_shards(own_values, np.float32, -np.inf, shape)
        sums = self._of_all_shards(own_sums, np.float32, 0, (len(ids), 3))
        _, nearest = nearest_of(
            np.concatenate(values, axis=1), np.concatenate(found, axis=1), self._neighbours
        )
        return nearest, entropy_of_parts(sums).numpy()

    def _of_all_shards(
        self,
        parts: Sequence[tf.Tensor],
        dtype: npt.DTypeLike,
        absent: float,
        shape: tuple[int, int],
    ) -> np.ndarray:
        """[P, B, n] of all shards in the order of their ids, of [B, at most n] of those here."""
        own = np.full((len(parts), *shape), absent, dtype)
        for place, part in zip(own, parts, strict=True):
            place[:, : part.shape[1]] = part[:, : shape[1]]
        of_all = self._shards.holders.gathered(own.reshape(-1, shape[1]))
        return of_all.reshape(-1, *shape)[self._shards.order]


@tf.function(reduce_retracing=True)
def _search_part(
    part: tf.Tensor,
    first: tf.Tensor,
    ids: tf.Tensor,
    rows: tf.Tensor,
    temperature: tf.Tensor,
    count: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    similarities = tf.matmul(rows, part, transpose_b=True)
    sums = softmax_sums(similarities / temperature)

    # The row itself is dropped by id, not by rank: an exact copy may come before it.
    values, candidates = tf.math.top_k(similarities, count)
    candidates += first
    is_self = candidates == ids[:, tf.newaxis]
    values = tf.where(is_self, -np.inf, values)
    order = tf.argsort(tf.cast(is_self, tf.int32), axis=-1, stable=True)
    return (
        tf.gather(values, order, batch_dims=1),
        tf.gather(candidates, order, batch_dims=1),
        sums,
    )


def softmax_sums(logits: tf.Tensor) -> tf.Tensor:
    """What the entropy of a row's softmax over several parts of its logits is made of.

    Args:
        logits: float32 [B, n], those of one part.

    Returns:
        float32 [B, 3]: the greatest logit m, sum e^(s - m) and sum (s - m) e^(s - m).
    """
    greatest = tf.reduce_max(logits, axis=-1, keepdims=True)
    shifted = logits - greatest
    exponentials = tf.exp(shifted)
    total = tf.reduce_sum(exponentials, axis=-1)
    weighted = tf.reduce_sum(exponentials * shifted, axis=-1)
    return tf.stack([greatest[:, 0], total, weighted], axis=1)


def entropy_of_parts(sums: tf.Tensor) -> tf.Tensor:
    """Entropy in nats of the softmax of each row.

    Args:
        sums: float32 [P, B, 3], the `softmax_sums` of each part.

    Returns:
        float32 [B].

    Source: Eq. 5 of the AND paper.
    """
    greatest, total, weighted = tf.unstack(sums, axis=-1)
    shift = greatest - tf.reduce_max(greatest, axis=0)
    scale = tf.exp(shift)
    weighted = tf.reduce_sum(scale * (weighted + shift * total), axis=0)
    total = tf.reduce_sum(scale * total, axis=0)
    return tf.math.log(total) - weighted / total
