"""All pairs of rows on a CPU: each block of similarities is computed once and serves both sides.

NumPy does it, a thread for every core: its loops write into two buffers that stay in the cache,
where every operation of TensorFlow writes to fresh memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

_BLOCK = (
    768  # rows of a block: two of them stay in the cache, and the product is still near its best
)
_MOST_GROUPS = 256
_LARGEST_LOGIT = 40.0  # whose exponential float32 sums with ease


def search_pairs(
    bank: np.ndarray,
    neighbours: int,
    temperature: float,
    progress: Callable[[float], None],
    block_size: int = _BLOCK,
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest other rows and entropy of every row; see `and_tf.exact_search.search_exactly`.

    One pass over all pairs finds the entropies, and for every row its nearest similarity in each of
    up to 256 groups of rows; the neighbours are then looked for in the best groups alone.
    """
    pairs = _Pairs(bank, temperature, block_size)
    partition, weighted = np.zeros((2, len(bank)))
    pool = ThreadPoolExecutor(num_cores())
    try:
        with threadpool_limits(1):  # of the matrix library's own threads in each of ours
            # The sums come in the order of the groups, so that threads do not change a bit of them.
            for group, (start, sums) in enumerate(pool.map(pairs.compare, range(pairs.num_groups))):
                partition[start:] += sums[0]
                weighted[start:] += sums[1]
                progress(1 - (1 - (group + 1) / pairs.num_groups) ** 2)
    finally:
        pool.shutdown(cancel_futures=True)
    return _nearest(bank, neighbours, pairs), entropy_of_sums(partition, weighted)


class _Pairs:
    """The pass over all pairs.

    Attributes:
        num_groups: G.
        maxima: float32 [G, N]. The greatest logit of each row in each group, itself left out.
    """

    def __init__(self, bank: np.ndarray, temperature: float, block_size: int) -> None:
        num_examples = len(bank)
        num_blocks = -(-num_examples // block_size)
        self._bank = bank
        self._scaled = bank / np.float32(temperature)
        self._shift = logit_shift(bank, temperature)
        self._block_size = block_size
        self.blocks_per_group = -(-num_blocks // _MOST_GROUPS)
        self.num_groups = -(-num_blocks // self.blocks_per_group)
        self.maxima = np.full((self.num_groups, num_examples), -np.inf, np.float32)

    def group(self, group: int) -> slice:
        """The rows of a group."""
        size = self._block_size * self.blocks_per_group
        return slice(group * size, min((group + 1) * size, len(self._bank)))

    def compare(self, group: int) -> tuple[int, np.ndarray]:
        """Compare the rows of a group with each other and with all rows after them.

        No two groups write to the same place, so that they may be compared at the same time.

        Returns:
            The first of the rows met; float64 [2, rows from there on], what these pairs add to
            sum e^s and to sum s e^s of each.
        """
        start, stop, _ = self.group(group).indices(len(self._bank))
        sums = np.zeros((2, len(self._bank) - start))
        buffers = np.empty((2, self._block_size**2), np.float32)
        for row in range(start, stop, self._block_size):
            rows = slice(row, min(row + self._block_size, stop))
            for other in range(row, len(self._bank), self._block_size):
                columns = slice(other, min(other + self._block_size, len(self._bank)))
                to_rows, to_columns = self._compare_block(group, rows, columns, buffers)
                sums[:, rows.start - start : rows.stop - start] += to_rows
                if other != row:
                    sums[:, columns.start - start : columns.stop - start] += to_columns
        return start, sums

    def _compare_block(
        self, group: int, rows: slice, columns: slice, buffers: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        logits, powers = logits_and_powers(
            self._scaled[rows], self._bank[columns], self._shift, buffers
        )
        itself = np.diag_indices(len(logits)) if rows == columns else ()
        if itself:
            own, logits[itself] = logits[itself], -np.inf
        other_group = columns.start // (self._block_size * self.blocks_per_group)
        _raise_to(self.maxima[other_group, rows], logits.max(axis=1))
        _raise_to(self.maxima[group, columns], logits.max(axis=0))
        if itself:
            logits[itself] = own

        np.multiply(logits, powers, out=logits)
        by_column = np.ones(len(logits), np.float32)
        by_row = np.ones(logits.shape[1], np.float32)
        return (
            np.stack([powers @ by_row, logits @ by_row]),
            np.stack([by_column @ powers, by_column @ logits]),
        )


def logits_and_powers(
    rows: np.ndarray, columns: np.ndarray, shift: np.float32, buffers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The logits between two blocks of rows, less a shift, and their exponentials.

    Args:
        rows: float32 [B, d].
        columns: float32 [C, d]; one of the two is divided by the temperature.
        shift: Of every logit, see `logit_shift`.
        buffers: float32 [2, at least B C], which the results are views of.

    Returns:
        float32 [B, C] each.
    """
    shape = len(rows), len(columns)
    logits, powers = (buffer[: shape[0] * shape[1]].reshape(shape) for buffer in buffers)
    np.matmul(rows, columns.T, out=logits)
    if shift:
        np.subtract(logits, shift, out=logits)
    np.exp(logits, out=powers)
    return logits, powers


def entropy_of_sums(partition: np.ndarray, weighted: np.ndarray) -> np.ndarray:
    """Eq. 5 from the sums of e^s and of s e^s over a row: log sum e^s - sum s e^s / sum e^s.

    Args:
        partition: float64 [B].
        weighted: float64 [B].

    Returns:
        float32 [B], nats.
    """
    return (np.log(partition) - weighted / partition).astype(np.float32)


def _raise_to(values: np.ndarray, others: np.ndarray) -> None:
    np.maximum(values, others, out=values)


def logit_shift(bank: np.ndarray, temperature: float) -> np.float32:
    """What to take from every logit so that float32 holds its exponential, 0 where nothing need be.

    A row's greatest logit is no less than that with itself and no more than the longest row's.

    Raises:
        ValueError: Rows that are not of about unit length.
    """
    own = np.einsum("nd,nd->n", bank, bank) / temperature
    if not own.max() - own.min() <= _LARGEST_LOGIT:
        raise ValueError(
            "The rows of the bank must be finite and of about unit length. Received: squared "
            f"lengths from {own.min() * temperature:g} to {own.max() * temperature:g} at "
            f"temperature {temperature:g}"
        )
    return np.float32(own.max() if own.max() > _LARGEST_LOGIT else 0)


def _nearest(bank: np.ndarray, neighbours: int, pairs: _Pairs) -> np.ndarray:
    """int32 [N, k], the nearest other rows, sought in the groups that hold them.

    A row's k nearest are in the k groups of its k greatest maxima: every group before another in
    that order holds a nearer row than all of the other's.
    """
    num_examples = len(bank)
    chosen = _greatest(pairs.maxima, min(neighbours, pairs.num_groups))
    values = np.full((num_examples, neighbours), -np.inf, np.float32)
    ids = np.zeros((num_examples, neighbours), np.int32)
    for group in range(pairs.num_groups):
        members = pairs.group(group)
        seekers = np.flatnonzero((chosen == group).any(axis=0))
        for start in range(0, len(seekers), 4096):
            rows = seekers[start : start + 4096]
            similarities = tf.matmul(bank[rows], bank[members], transpose_b=True)
            inside = np.flatnonzero((rows >= members.start) & (rows < members.stop))
            if len(inside):
                itself = np.stack([inside, rows[inside] - members.start], axis=1)
                similarities = tf.tensor_scatter_nd_update(
                    similarities, itself, np.full(len(inside), -np.inf, np.float32)
                )
            best, found = tf.math.top_k(similarities, min(neighbours, similarities.shape[1]))
            # Earlier groups go first, so that among equals the lower id stays first.
            best = tf.concat([values[rows], best], axis=1)
            found = np.concatenate([ids[rows], found.numpy() + members.start], axis=1)
            values[rows], order = (part.numpy() for part in tf.math.top_k(best, neighbours))
            ids[rows] = np.take_along_axis(found, order, axis=1)
    return ids


def _greatest(maxima: np.ndarray, count: int) -> np.ndarray:
    """int [count, N]: the groups of each row's greatest maxima, the lower among equals."""
    if count == 1:
        return maxima.argmax(axis=0)[np.newaxis]
    return tf.math.top_k(tf.transpose(maxima), count).indices.numpy().T


def num_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
