"""The nearest rows of each query, in little more time than the products of all with all take."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

BLOCK = 256
"""Queries compared with all rows at once."""


def nearest_rows(
    queries: np.ndarray,
    rows: np.ndarray,
    count: int,
    own: np.ndarray | None = None,
    block_size: int = BLOCK,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the nearest rows of a block of queries, nearest first, of equals the lowest id first.

    Args:
        queries: float [Q, d].
        rows: float [N, d].
        count: K, from 1 to N; to N - 1 where a row is left out.
        own: int [Q], a row that each query is not compared with, such as itself; -1 for none.
        block_size: Queries in a block.

    Yields:
        int64 [q, K] ids, and float32 [q, K] dot products.
    """
    rows = tf.constant(np.asarray(rows, np.float32))
    for start in range(0, len(queries), block_size):
        block = np.asarray(queries[start : start + block_size], np.float32)
        products = tf.matmul(block, rows, transpose_b=True).numpy()
        if own is not None:
            left_out = own[start : start + block_size]
            asked = np.flatnonzero(left_out >= 0)
            products[asked, left_out[asked]] = -np.inf
        yield _greatest(products, count)


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
    if groups * 4 <= columns:
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
    greatest, ids = tf.math.top_k(values, count)
    return ids.numpy().astype(np.int64), greatest.numpy()
