"""All pairs of rows on a CPU: each block of similarities is computed once and serves both sides.

NumPy does it, a thread for every core: its loops write into two buffers that stay in the cache,
where every operation of TensorFlow writes to fresh memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

from and_tf.discovery.logits import entropy_of_sums, logit_shift, logits_and_powers
from and_tf.distribution.shards import Shards, nearest_of, results_of_all
from and_tf.distribution.workers import ALONE, Workers

_BLOCK = (
    768  # rows of a block: two of them stay in the cache, and the product is still near its best
)
_MOST_GROUPS = 256


def search_pairs(
    shards: Shards,
    neighbours: int,
    temperature: float,
    progress: Callable[[float], None],
    workers: Workers = ALONE,
    block_size: int = _BLOCK,
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest other rows and entropy of every row; see `and_tf.discovery.exact_search.search_exactly`.

    One pass over all pairs finds the entropies, and for every row its nearest similarity in each of
    about 256 groups of rows; the neighbours are then looked for in the best groups alone. All
    shards are in this process. If every worker has them, each compares a part of the groups.
    """
    pairs = _Pairs(shards, temperature, block_size)
    # A group meets those after it, so that the work in them shrinks towards the end.
    own_groups = range(workers.rank, len(pairs.groups), workers.count)
    sums = np.zeros((2, shards.num_rows))
    pool = ThreadPoolExecutor(num_cores())
    try:
        with threadpool_limits(1):  # of the matrix library's own threads in each of ours
            # The sums come in the order of the groups, so that threads do not change a bit of them.
            for number, (start, more) in enumerate(pool.map(pairs.compare, own_groups)):
                sums[:, start:] += more
                progress(1 - (1 - (number + 1) / len(own_groups)) ** 2)
    finally:
        pool.shutdown(cancel_futures=True)
    # Every worker sends all others 16 bytes of each row here, and 8 k for the groups to look in.
    sums = workers.gathered(sums[np.newaxis]).sum(axis=0)
    chosen = _greatest(pairs.maxima, min(neighbours, len(pairs.groups)), workers)
    rows = shards.rows_for(workers)
    ids = _nearest(shards, rows, neighbours, pairs, chosen[:, rows])
    return results_of_all(workers, rows, ids, entropy_of_sums(*sums[:, rows]))


class _Block(NamedTuple):
    group: int
    ids: slice
    rows: np.ndarray
    scaled: np.ndarray  # by the temperature


class _Pairs:
    """The pass over all pairs.

    Attributes:
        groups: The G groups: the first row's id, and rows, all of one shard.
        maxima: float32 [G, N]. The greatest logit of each row in each group, itself left out.
    """

    def __init__(self, shards: Shards, temperature: float, block_size: int) -> None:
        num_blocks = sum(-(-size // block_size) for size in shards.sizes)
        group_size = block_size * -(-num_blocks // _MOST_GROUPS)
        self._shift = logit_shift(shards, temperature)
        self._block_size = block_size
        self._blocks: list[_Block] = []
        self._begins: list[int] = []  # of each group among the blocks
        self.groups: list[tuple[int, np.ndarray]] = []
        for first, part in shards.parts:
            scaled = part / np.float32(temperature)
            for start in range(0, len(part), block_size):
                if start % group_size == 0:
                    self._begins.append(len(self._blocks))
                    self.groups.append((first + start, part[start : start + group_size]))
                rows = part[start : start + block_size]
                ids = slice(first + start, first + start + len(rows))
                group = len(self.groups) - 1
                self._blocks.append(_Block(group, ids, rows, scaled[start : start + block_size]))
        self.maxima = np.full((len(self.groups), shards.num_rows), -np.inf, np.float32)

    def compare(self, group: int) -> tuple[int, np.ndarray]:
        """Compare the rows of a group with each other and with all rows after them.

        No two groups write to the same place, so that they may be compared at the same time.

        Returns:
            The first of the rows met; float64 [2, rows from there on], what these pairs add to
            sum e^s and to sum s e^s of each.
        """
        blocks = self._blocks[self._begins[group] :]
        start, stop = blocks[0].ids.start, blocks[-1].ids.stop
        sums = np.zeros((2, stop - start))
        buffers = np.empty((2, self._block_size**2), np.float32)
        for number, block in enumerate(blocks):
            if block.group != group:
                break
            for other in blocks[number:]:
                to_block, to_other = self._compare_blocks(block, other, buffers)
                sums[:, block.ids.start - start : block.ids.stop - start] += to_block
                if other is not block:
                    sums[:, other.ids.start - start : other.ids.stop - start] += to_other
        return start, sums

    def _compare_blocks(
        self, block: _Block, other: _Block, buffers: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        logits, powers = logits_and_powers(block.scaled, other.rows, self._shift, buffers)
        itself = np.diag_indices(len(logits)) if block is other else ()
        if itself:
            own, logits[itself] = logits[itself], -np.inf
        _raise_to(self.maxima[other.group, block.ids], logits.max(axis=1))
        _raise_to(self.maxima[block.group, other.ids], logits.max(axis=0))
        if itself:
            logits[itself] = own

        np.multiply(logits, powers, out=logits)
        by_column = np.ones(len(logits), np.float32)
        by_row = np.ones(logits.shape[1], np.float32)
        return (
            np.stack([powers @ by_row, logits @ by_row]),
            np.stack([by_column @ powers, by_column @ logits]),
        )


def _raise_to(values: np.ndarray, others: np.ndarray) -> None:
    np.maximum(values, others, out=values)


def _nearest(
    shards: Shards, rows: np.ndarray, neighbours: int, pairs: _Pairs, chosen: np.ndarray
) -> np.ndarray:
    """The nearest other rows, sought in the groups that hold them.

    A row's k nearest are in the k groups of its k greatest maxima: every group before another in
    that order holds a nearer row than all of the other's.

    Args:
        shards: The bank.
        rows: int64 [n], ids, one after the other.
        neighbours: k.
        pairs: What all rows were compared by.
        chosen: int [at most k, n], the groups to look in.

    Returns:
        int32 [n, k].
    """
    values = np.full((len(rows), neighbours), -np.inf, np.float32)
    ids = np.zeros((len(rows), neighbours), np.int32)
    for group, (first, members) in enumerate(pairs.groups):
        seekers = np.flatnonzero((chosen == group).any(axis=0))
        for start in range(0, len(seekers), 4096):
            places = seekers[start : start + 4096]
            similarities = tf.matmul(shards.take(rows[places]), members, transpose_b=True)
            own = rows[places] - first
            inside = np.flatnonzero((own >= 0) & (own < len(members)))
            if len(inside):
                similarities = tf.tensor_scatter_nd_update(
                    similarities,
                    np.stack([inside, own[inside]], axis=1),
                    np.full(len(inside), -np.inf, np.float32),
                )
            best, found = tf.math.top_k(similarities, min(neighbours, similarities.shape[1]))
            # Earlier groups go first, so that among equals the lower id stays first.
            values[places], ids[places] = nearest_of(
                np.concatenate([values[places], best], axis=1),
                np.concatenate([ids[places], found.numpy() + first], axis=1),
                neighbours,
            )
    return ids


def _greatest(maxima: np.ndarray, count: int, workers: Workers) -> np.ndarray:
    """int [count, N]: the groups of each row's greatest maxima, the lower among equals.

    No two workers have the same maximum; what a worker has not is -inf.
    """
    if count == 1:
        chosen = maxima.argmax(axis=0)[np.newaxis]
    else:
        chosen = tf.math.top_k(tf.transpose(maxima), count).indices.numpy().T
    values = workers.gathered(np.take_along_axis(maxima, chosen, axis=0))
    chosen = workers.gathered(chosen.astype(np.int32))
    order = np.lexsort((chosen, -values), axis=0)[:count]
    return np.take_along_axis(chosen, order, axis=0)


def num_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
