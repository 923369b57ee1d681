"""The rows of a bank for a search: whole, or in shards that one or several processes hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from and_tf.distribution.workers import ALONE, Workers


class Shards:
    """Rows 0 to N - 1, each in one shard.

    A bank that every process holds whole is one shard, whoever else has it: `Shards([(0, bank)])`.

    Args:
        parts: The shards of this process: the first row's id, and float [n, d]; n may be 0.
        holders: The workers who hold the shards, each its own. Each method that waits for them is
            to be called by all.

    Attributes:
        parts: The shards of this process that have rows, float32, by id.
        ids: int64 [n], the rows of this process.
        sizes: Rows of each shard, of all processes.
        order: int64 [P], places by id of all shards that have rows, which come process by process.
        num_rows: N.
        holders: As given.

    Raises:
        ValueError: Shards that do not hold the rows 0 to N - 1 once each.
    """

    def __init__(self, parts: Sequence[tuple[int, np.ndarray]], holders: Workers = ALONE) -> None:
        self.holders = holders
        parts = [(int(first), np.ascontiguousarray(rows, np.float32)) for first, rows in parts]
        self.parts = sorted((part for part in parts if len(part[1])), key=lambda part: part[0])
        self._dim = parts[0][1].shape[1]
        own = [(first, first + len(rows)) for first, rows in self.parts]
        self.ids = np.concatenate([np.arange(0), *(np.arange(*extent) for extent in own)])
        extents = holders.gathered(np.array(own, np.int64).reshape(-1, 2))
        self.order = np.argsort(extents[:, 0])
        extents = extents[self.order]
        if (np.append(0, extents[:-1, 1]) != extents[:, 0]).any():
            raise ValueError(
                "The shards of a bank must hold its rows once each, from 0 on. Received: rows "
                + ", ".join(f"{first} to {end - 1}" for first, end in extents)
            )
        self.sizes = (extents[:, 1] - extents[:, 0]).tolist()
        self.num_rows = sum(self.sizes)

    def rows_for(self, workers: Workers) -> np.ndarray:
        """Ids of the rows that a worker searches for: those it holds, or its share where all hold all."""
        if self.holders.count > 1:
            return self.ids
        return np.array_split(self.ids, workers.count)[workers.rank]

    def take(self, ids: np.ndarray) -> np.ndarray:
        """float32 [B, d], the rows of int [B] ids, the same at all holders, who send what they hold."""
        places, rows = self._take_own(ids)
        places, rows = self.holders.gathered(places), self.holders.gathered(rows)
        taken = np.empty_like(rows)
        taken[places] = rows
        return taken

    def shown(
        self, ids: np.ndarray, batch: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Show rows of every holder to all, a batch of all together at a time.

        Args:
            ids: int [n], rows of this process.
            batch: The most rows at a time.

        Yields:
            int64 [B] ids; float32 [B, d] rows; bool [B], which of them this process showed.
        """
        batch = max(1, batch // self.holders.count)
        longest = self.holders.gathered(np.array([len(ids)])).max()
        for start in range(0, longest, batch):
            mine = ids[start : start + batch]
            together = self.holders.gathered(mine)
            yield together, self.holders.gathered(self._take_own(mine)[1]), np.isin(together, mine)

    def _take_own(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of some ids are held here, and their rows."""
        places, rows = [np.arange(0)], [np.empty((0, self._dim), np.float32)]
        for first, part in self.parts:
            inside = np.flatnonzero((ids >= first) & (ids < first + len(part)))
            places.append(inside)
            rows.append(part[ids[inside] - first])
        return np.concatenate(places), np.concatenate(rows)


def results_of_all(
    workers: Workers, rows: np.ndarray, ids: np.ndarray, entropies: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What all workers found, each for its rows: 12 + 4 k bytes of each row are sent.

    Args:
        rows: int64 [n], ids of the rows that this worker searched for.
        ids: int32 [n, k], what it found.
        entropies: float32 [n].

    Returns:
        int32 [N, k] and float32 [N].
    """
    order = np.argsort(workers.gathered(rows))
    return workers.gathered(ids)[order], workers.gathered(entropies)[order]


def nearest_of(
    similarities: np.ndarray, ids: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of candidates [B, n], nearest first, the earlier among equals: [B, count] each."""
    order = tf.math.top_k(similarities, min(count, similarities.shape[1])).indices.numpy()
    return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(ids, order, axis=1)
