"""Entropy without the whole matrix: the nearest rows exactly, the rest from a shared sample."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from and_tf.discovery.logits import entropy_of_sums, logit_shift, logits_and_powers
from and_tf.discovery.pairwise import num_cores
from and_tf.distribution.shards import Shards

_BLOCK = 768  # rows, and columns, of a block of similarities that stays in the cache


class EntropyEstimate:
    """Estimates the entropy of rows from their nearest rows and one sample that all of them share.

    The partition sum of a row is that of its nearest rows, itself among them, plus the sample's:
    sampled rows that are among the nearest are left out by id, for they are counted already, and
    the others stand for all that are not, each for (N - n) / (u - left out). That makes it unbiased
    over samples, and the sum of p log p follows in the same way.

    Args:
        shards: The bank, rows of about unit length.
        sample: int [u], distinct ids.
        temperature: tau of the entropy.

    Raises:
        ValueError: Rows far from unit length.
    """

    def __init__(self, shards: Shards, sample: np.ndarray, temperature: float) -> None:
        self._num_rows = shards.num_rows
        self._temperature = np.float32(temperature)
        self._sampled = shards.take(sample) / self._temperature
        self._shift = logit_shift(shards, temperature)
        self._place = np.full(shards.num_rows, -1, np.int32)  # of each id in the sample
        self._place[sample] = np.arange(len(sample))

    def partition_sums(
        self, rows: np.ndarray, nearest: np.ndarray, similarities: np.ndarray
    ) -> np.ndarray:
        """Estimates of sum e^(s - c) and sum (s - c) e^(s - c) over all rows, c one constant.

        Args:
            rows: float32 [B, d].
            nearest: int [B, n], distinct ids that are summed exactly, -1 for none.
            similarities: float32 [B, n].

        Returns:
            float64 [2, B].
        """
        known = nearest >= 0
        logits = np.where(known, similarities / self._temperature - self._shift, 0)
        powers = np.where(known, np.exp(logits, dtype=np.float64), 0)
        exact = np.stack([powers.sum(axis=1), (powers * logits).sum(axis=1)])

        places = np.where(known, self._place[nearest], -1)
        starts = range(0, len(rows), _BLOCK)
        with threadpool_limits(1), ThreadPoolExecutor(num_cores()) as pool:
            sums = pool.map(
                lambda start: self._sampled_sums(
                    rows[start : start + _BLOCK], places[start : start + _BLOCK]
                ),
                starts,
            )
            sampled = np.concatenate([np.empty((2, 0)), *sums], axis=1)
        left_out = (places >= 0).sum(axis=1)
        others = self._num_rows - known.sum(axis=1)
        return exact + others / np.maximum(len(self._sampled) - left_out, 1) * sampled

    def __call__(
        self, rows: np.ndarray, nearest: np.ndarray, similarities: np.ndarray
    ) -> np.ndarray:
        """float32 [B], entropies in nats; see `partition_sums`."""
        return entropy_of_sums(*self.partition_sums(rows, nearest, similarities))

    def _sampled_sums(self, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        sums = np.zeros((2, len(rows)))
        buffers = np.empty((2, len(rows) * _BLOCK), np.float32)
        members, columns = np.nonzero(places >= 0)
        places = places[members, columns]
        for start in range(0, len(self._sampled), _BLOCK):
            sample = self._sampled[start : start + _BLOCK]
            logits, powers = logits_and_powers(rows, sample, self._shift, buffers)
            here = (places >= start) & (places < start + len(sample))
            powers[members[here], places[here] - start] = 0
            np.multiply(logits, powers, out=logits)
            ones = np.ones(len(sample), np.float32)
            sums += np.stack([powers @ ones, logits @ ones])
        return sums
