"""Workers that are threads of one process, for tests of what several processes do together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from and_tf.distribution.workers import Workers


class ThreadWorkers(Workers):
    """One of several threads; refuses what the collective operations of processes would."""

    def __init__(self, rank: int, barrier: threading.Barrier, told: list) -> None:
        super().__init__()
        self.rank, self.count = rank, len(told)
        self.sent = 0  # bytes
        self._barrier, self._told = barrier, told

    def gathered(self, array: np.ndarray) -> np.ndarray:
        array = np.asarray(array)
        assert array.dtype in (np.int32, np.int64, np.float32, np.float64)
        self.sent += array.nbytes
        self._told[self.rank] = array
        self._barrier.wait(60)
        assert len({(each.dtype, each.shape[1:]) for each in self._told}) == 1
        together = np.concatenate(self._told)
        self._barrier.wait(60)
        return together

    def anyone(self, wish: bool) -> bool:
        return bool(self.gathered(np.array([int(wish)])).any())


def run_workers(count: int, function: Callable[[ThreadWorkers], Any]) -> list:
    """What the function returns for each of so many workers."""
    barrier, told = threading.Barrier(count), [None] * count

    def run(rank: int):
        try:
            return function(ThreadWorkers(rank, barrier, told))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(run, rank) for rank in range(count)]
    errors = [future.exception() for future in futures]
    for error in sorted(
        filter(None, errors), key=lambda e: isinstance(e, threading.BrokenBarrierError)
    ):
        raise error
    return [future.result() for future in futures]
