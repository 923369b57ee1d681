"""Exact search: every row is compared with every other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from and_tf.discovery.pairwise import search_pairs
from and_tf.discovery.stripes import StripeSearch
from and_tf.distribution.shards import Shards, results_of_all
from and_tf.distribution.workers import ALONE, Workers

Progress = Callable[[float], None]
"""Told the share of the work that is done, from 0 to 1."""


def search_exactly(
    shards: Shards,
    neighbours: int,
    temperature: float,
    progress: Progress = lambda share: None,
    workers: Workers = ALONE,
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest other rows and entropy of every row.

    Args:
        shards: The bank, rows of about unit length.
        neighbours: k, from 1 to N - 1.
        temperature: tau of the entropy.
        progress: Told how far the search is.
        workers: Who search together, whether or not each of them has all rows.

    Returns:
        int32 [N, k], ids of the nearest rows, nearest first, without the row itself; and float32
        [N], entropies in nats, with the row itself.

    Raises:
        ValueError: On a CPU that holds all rows, rows not of about unit length.

    Source: Eq. 1 and Eq. 5 of the AND paper.
    """
    gpus = np.array([len(tf.config.get_visible_devices("GPU"))])
    if shards.holders.count == 1 and not workers.gathered(gpus).all():
        return search_pairs(shards, neighbours, temperature, progress, workers)
    search = StripeSearch(shards, neighbours, temperature)
    own, done = shards.rows_for(workers), 0
    found = np.empty((len(own), neighbours), np.int32)
    entropies = np.empty(len(own), np.float32)
    for ids, rows, mine in shards.shown(own, 16384):
        batch = slice(done, done + mine.sum())
        found[batch], entropies[batch] = (part[mine] for part in search(ids, rows))
        done = batch.stop
        progress(done / max(1, len(own)))
    return results_of_all(workers, own, found, entropies)
