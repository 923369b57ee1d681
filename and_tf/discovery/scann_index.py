"""ScaNN's indexes of a bank, one of each shard, and searching in all of them."""

from __future__ import annotations

import functools
import math
import warnings
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from and_tf.distribution.shards import Shards, nearest_of

FEWEST_ROWS = 4096
"""Banks smaller than this are always searched exactly, in well under a second."""

_NEAREST = 30  # rows found beside the row itself, whose terms of the entropy are exact
_FIRST_LEAVES = 32


@functools.cache
def load_scann() -> ModuleType | None:
    """ScaNN's module of searchers, or None with a warning where it is missing or does not load."""
    try:
        from scann import scann_ops_pybind
    # Its wheel for another TensorFlow is there but ends in an error of TensorFlow's loader.
    except (ImportError, OSError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        warnings.warn(
            f"ScaNN cannot be used, so neighbourhoods are searched exactly, in time that grows as "
            f"N squared: {reason}. It has wheels for Linux: pip install 'scann>=1.4.2,<1.5'",
            stacklevel=2,
        )
        return None
    return scann_ops_pybind


def num_leaves(num_rows: int) -> int:
    """Parts that ScaNN cuts so many rows into.

    2 sqrt(n): choosing among them takes about as long as searching those chosen. Few rows are not
    cut but all compared.
    """
    return round(2 * math.sqrt(num_rows)) if num_rows >= FEWEST_ROWS else 1


class ScannIndexes:
    """ScaNN over each shard: a tree of leaves, quantised scores inside them, exact ones at the end.

    Attributes:
        reordered: Candidates of each row whose similarity is computed exactly, in all shards; but
            in each no fewer than are to be found.
    """

    def __init__(self, shards: Shards, neighbours: int) -> None:
        self._shards = shards
        self._found = min(max(neighbours, _NEAREST) + 1, shards.num_rows)
        self._most_leaves = num_leaves(shards.num_rows)
        self._of_most_leaves = min(_FIRST_LEAVES, self._most_leaves)
        self.reordered = min(2 * self._found, shards.num_rows)
        self._indexes = [(first, len(part), self._index(part)) for first, part in shards.parts]

    def _index(self, part: np.ndarray) -> Any:
        scann = load_scann()
        assert scann is not None  # without it a bank is searched exactly
        num_rows, dim = part.shape
        leaves = num_leaves(num_rows)
        builder = scann.builder(part, min(self._found, num_rows), "dot_product")
        if leaves == 1:
            return builder.score_brute_force().build()
        return (
            builder.tree(
                leaves,
                self.leaves_searched(num_rows),
                training_sample_size=min(num_rows, 50 * leaves),
                training_iterations=4,
            )
            .score_ah(
                4 if dim >= 64 else 2,
                anisotropic_quantization_threshold=0.2,
                training_sample_size=min(num_rows, 10_000),
                training_iterations=4,
            )
            .reorder(self._reordered(num_rows))
            .build()
        )

    def leaves_searched(self, num_rows: int) -> int:
        """For each row in a shard of so many rows, for about the recall of a whole bank.

        The same share of the leaves would find less and the same number more: it is the geometric
        mean of the two.
        """
        leaves = num_leaves(num_rows)
        return min(leaves, math.ceil(self._of_most_leaves * math.sqrt(leaves / self._most_leaves)))

    def _reordered(self, num_rows: int) -> int:
        share = math.ceil(self.reordered * num_rows / self._shards.num_rows)
        return min(num_rows, max(share, self._found))

    def raise_settings(self) -> bool:
        """Search twice as thoroughly from now on; False where that would be no faster than exactly."""
        limit = min(self._most_leaves, max(256, self._most_leaves // 4))
        if self._of_most_leaves >= limit:
            return False
        self._of_most_leaves = min(2 * self._of_most_leaves, limit)
        self.reordered = min(2 * self.reordered, self._shards.num_rows)
        return True

    def search(
        self, ids: np.ndarray, rows: np.ndarray, mine: np.ndarray | slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search in all shards, each at its holder.

        Of each row and holder, 8 bytes for each of the nearest found go to all.

        Args:
            ids: int64 [B].
            rows: float32 [B, d], the same at all holders.
            mine: Which of them this process wants to know of.

        Returns:
            int32 [b, n] and float32 [b, n] for those: each row, then those found, nearest first, -1
            for none.
        """
        found, similarities = self._search_own_shards(rows)
        holders, shape = self._shards.holders, (-1, *found.shape)
        if holders.count > 1:
            found, similarities = (
                np.concatenate(holders.gathered(each).reshape(shape)[:, mine], axis=1)
                for each in (found, similarities)
            )
            similarities, found = nearest_of(similarities, found, self._found)
        ids, rows = ids[mine], rows[mine]
        # The row itself goes first, wherever it was found; where it was not, the last makes room.
        own = found == ids[:, np.newaxis]
        own[~own.any(axis=1), -1] = True
        order = np.argsort(~own, axis=1, kind="stable")
        found = np.take_along_axis(found, order, axis=1)
        similarities = np.take_along_axis(similarities, order, axis=1)
        found[:, 0] = ids
        similarities[:, 0] = np.einsum("nd,nd->n", rows, rows)
        return found, similarities

    def _search_own_shards(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ids = [np.empty((len(rows), 0), np.int32)]
        similarities = [np.empty((len(rows), 0), np.float32)]
        for first, size, index in self._indexes:
            found, values = index.search_batched_parallel(
                rows,
                min(self._found, size),
                self._reordered(size),
                self.leaves_searched(size),
            )
            ids.append(np.where(np.isnan(values), -1, found.astype(np.int32) + first))
            similarities.append(np.where(np.isnan(values), -np.inf, values))
        absent = (0, 0), (0, max(0, self._found - sum(each.shape[1] for each in ids)))
        nearest, their_ids = nearest_of(
            np.pad(np.concatenate(similarities, axis=1), absent, constant_values=-np.inf),
            np.pad(np.concatenate(ids, axis=1), absent, constant_values=-1),
            self._found,
        )
        return their_ids, nearest
