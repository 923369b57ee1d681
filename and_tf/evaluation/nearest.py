"""The nearest rows of each query, in little more time than the products of all with all take."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import local

import numpy as np
from threadpoolctl import threadpool_limits

BLOCK = 256
"""Queries compared with all rows at once."""
MOST_PRODUCTS = 2**24
"""Products that a thread holds, 64 MiB: with very many rows a block has fewer queries."""


def nearest_rows(
    queries: np.ndarray,
    rows: np.ndarray,
    count: int,
    own: np.ndarray | None = None,
    block_size: int = BLOCK,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the nearest rows of a block of queries, nearest first, of equals the lowest id first.

    Every core has a block of its own: what comes after the product has no threads otherwise.

    Args:
        queries: float [Q, d].
        rows: float [N, d].
        count: K, from 1 to N; to N - 1 where a row is left out.
        own: int [Q], a row that each query is not compared with, such as itself; -1 for none.
        block_size: Queries in a block, at most.

    Yields:
        int64 [q, K] ids, and float32 [q, K] dot products.
    """
    queries, rows = (np.ascontiguousarray(x, np.float32) for x in (queries, rows))
    block_size = max(1, min(block_size, MOST_PRODUCTS // max(1, len(rows))))
    kept = local()

    def search(start: int) -> tuple[np.ndarray, np.ndarray]:
        block = queries[start : start + block_size]
        if not hasattr(kept, "products"):  # new memory for each block would double the time
            kept.products = np.empty((block_size, len(rows)), np.float32)
        products = np.matmul(block, rows.T, out=kept.products[: len(block)])
        if own is not None:
            left_out = own[start : start + block_size]
            asked = np.flatnonzero(left_out >= 0)
            products[asked, left_out[asked]] = -np.inf
        return _greatest(products, count)

    has_affinity = hasattr(os, "sched_getaffinity")  # Linux, where a container may have fewer
    threads = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        waiting: deque = deque()
        for start in range(0, len(queries), block_size):
            waiting.append(pool.submit(search, start))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def nearest(
    queries: np.ndarray, rows: np.ndarray, count: int, own: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """All blocks of `nearest_rows` in one: int64 [Q, K] and float32 [Q, K]."""
    ids, products = zip(*nearest_rows(queries, rows, count, own), strict=True)
    return np.concatenate(ids), np.concatenate(products)


def _greatest(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` greatest values of each row, greatest first: their columns and they themselves.

    Columns are cut into groups. At least `count` values are as large as the count-th largest of the
    groups' maxima, and few others are: these alone are sorted.
    """
    queries, columns = values.shape
    groups = 5 * count
    if 4 * groups <= columns:
        inside = columns // groups * groups
        maxima = values[:, :inside].reshape(queries, -1, groups).max(axis=1)
        least = np.partition(maxima, groups - count, axis=1)[:, groups - count]
        candidates = values >= least[:, None]
        at, ids = np.divmod(np.flatnonzero(candidates), columns)
        if len(at) <= 4 * count * queries:  # unless many rows are the same
            amounts = np.bincount(at, minlength=queries)
            place = np.arange(len(at)) - np.repeat(np.cumsum(amounts) - amounts, amounts)
            found = np.full((queries, amounts.max()), -np.inf, np.float32)
            found_ids = np.zeros(found.shape, np.int64)
            found[at, place], found_ids[at, place] = values[at, ids], ids
            order = np.argsort(-found, axis=1, kind="stable")[:, :count]
            return (
                np.take_along_axis(found_ids, order, axis=1),
                np.take_along_axis(found, order, axis=1),
            )
    if count < columns:
        # Those that equal the last one are taken in their order.
        least = -np.partition(-values, count - 1, axis=1)[:, count - 1 : count]
        above = (values > least).sum(axis=1, keepdims=True)
        equal = values == least
        chosen = (values > least) | (equal & (np.cumsum(equal, axis=1) <= count - above))
        ids = np.nonzero(chosen)[1].reshape(queries, count)
    else:
        ids = np.tile(np.arange(columns), (queries, 1))
    found = np.take_along_axis(values, ids, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(found, order, axis=1)
