"""The memory bank in parts, one on each replica, for a bank that is larger than one device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from and_tf.distribution import replicas
from and_tf.distribution.workers import Workers
from and_tf.method.memory import RandomUnitRows

_PIECE = 8192  # rows; TensorFlow keeps the memory of larger tensors for itself


class ShardedBank:
    """float32 [N, d] rows, of which replica r of R holds `[r S, (r + 1) S)` with S = ceil(N / R).

    The last shards may hold fewer rows, or none. It belongs to the strategy in whose scope it is
    made; without one it is a single shard. It stands for the variable that a mirrored bank is,
    where its methods go.

    Args:
        num_rows: N.
        dim: d.
        seed: Of its first rows, which are those of `RandomUnitRows`.
        path: Names it in messages.

    Attributes:
        shape: (N, d).
        path: As given.
        shard_rows: S.
    """

    def __init__(self, num_rows: int, dim: int, seed: int = 0, path: str = "bank") -> None:
        strategy = tf.distribute.get_strategy()
        self.shape, self.path = (num_rows, dim), path
        self.shard_rows = -(-num_rows // strategy.num_replicas_in_sync)
        # Of all kinds of variables, this one may hold something else on every replica.
        shards = tf.Variable(
            tf.zeros([self.shard_rows, dim]),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.NONE,
            name="bank_shard",
        )
        self._local: tuple[tf.Variable, ...] = strategy.experimental_local_results(shards)
        self._workers = Workers(strategy)
        first = self._workers.rank * len(self._local)
        self._own_replicas = range(first, first + len(self._local))
        rows = RandomUnitRows(seed)
        self._fill(lambda first, last: rows.part(first, last, dim))

    def shards(self) -> list[tuple[int, np.ndarray]]:
        """The shards of this process: the first row's id, and float32 [n, d] with 0 <= n <= S."""
        return [
            (first, np.asarray(variable.read_value())[:count])
            for variable, first, count in map(self._shard, self._own_replicas)
        ]

    def numpy(self) -> np.ndarray:
        """All rows, float32 [N, d]; where there are several workers, all of them must ask."""
        rows = [rows for _, rows in self.shards()]
        return self._workers.gathered(np.concatenate(rows))

    def is_finite(self) -> bool:
        """Whether all rows are; where there are several workers, all of them must ask."""
        mine = all(np.isfinite(rows).all() for _, rows in self.shards())
        return not self._workers.anyone(not mine)

    def assign(self, rows: np.ndarray | tf.Tensor) -> None:
        """Replace all rows.

        Args:
            rows: float [N, d], or anything that is sliced like an array. Each process reads those
                of its own shards alone.

        Raises:
            ValueError: Rows of another shape.
        """
        if tuple(rows.shape) != self.shape:
            raise ValueError(
                f"{self.path} takes rows of shape {self.shape}. Received: {tuple(rows.shape)}"
            )
        self._fill(lambda first, last: rows[first:last])

    def _fill(self, rows: Callable[[int, int], np.ndarray | tf.Tensor]) -> None:
        """Replace all rows by those that `rows` gives from an id to another, a few at a time."""
        for variable, first, count in map(self._shard, self._own_replicas):
            shard = np.zeros(variable.shape, np.float32)
            for start in range(0, count, _PIECE):
                stop = min(start + _PIECE, count)
                shard[start:stop] = rows(first + start, first + stop)
            variable.assign(shard)

    def own_shard(self) -> tuple[tf.Variable, int, int]:
        """In a replica: the variable of its shard [S, d], its first id, and how many rows count."""
        return self._shard(int(tf.get_static_value(replicas.number())))

    def gather(self, ids: tf.Tensor) -> tf.Tensor:
        """In every replica: rows by their ids, wherever they are.

        Args:
            ids: int, of any shape, the same on every replica; a negative one gives zeros.

        Returns:
            float32 [*ids.shape, d].
        """
        shard, places, is_own = self._places(ids)
        rows = tf.gather(shard, tf.clip_by_value(places, 0, self.shard_rows - 1))
        return replicas.summed(tf.where(is_own[..., tf.newaxis], rows, 0.0))

    def scatter_update(self, rows: tf.IndexedSlices) -> None:
        """In every replica: replace rows by their ids; each replica writes those that are its own."""
        shard, places, is_own = self._places(rows.indices)
        if replicas.several():  # XLA, which one device may use, has no masks
            rows = tf.IndexedSlices(
                tf.boolean_mask(rows.values, is_own), tf.boolean_mask(places, is_own)
            )
        shard.scatter_update(rows)

    def _places(self, ids: tf.Tensor) -> tuple[tf.Variable, tf.Tensor, tf.Tensor]:
        """This replica's shard, where in it rows would be, and whether they are."""
        shard, first, count = self.own_shard()
        places = tf.cast(ids, tf.int32) - first
        return shard, places, (places >= 0) & (places < count)

    def _shard(self, replica: int) -> tuple[tf.Variable, int, int]:
        """A replica of this process: the variable of its shard, its first id, its number of rows."""
        first = min(replica * self.shard_rows, self.shape[0])
        count = min(self.shard_rows, self.shape[0] - first)
        return self._local[replica % len(self._local)], first, count
