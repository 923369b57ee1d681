from __future__ import annotations

import numpy as np
import pytest

from and_tf.evaluation.nearest import nearest
from tests.evaluation.unit_rows import unit_rows


def naive(queries, rows, count, own=None):
    found = []
    for number, query in enumerate(queries):
        products = [float(row @ query) for row in rows]
        left = [j for j in range(len(rows)) if own is None or j != own[number]]
        found.append(sorted(left, key=lambda j: (-products[j], j))[:count])
    return np.array(found)


@pytest.mark.parametrize(("rows", "count"), [(20, 20), (20, 3), (150, 3), (1003, 7)])
def test_agrees_with_a_loop(rows, count):
    queries, among = unit_rows(0, 9), unit_rows(1, rows)
    ids, products = nearest(queries, among, count)
    np.testing.assert_array_equal(ids, naive(queries, among, count))
    expected = np.take_along_axis(queries @ among.T, ids, axis=1)
    np.testing.assert_allclose(products, expected, atol=1e-6)


def test_leaves_a_row_out():
    rows = unit_rows(0, 300)
    own = np.where(np.arange(300) % 3, np.arange(300), -1)
    ids, _ = nearest(rows, rows, 4, own)
    np.testing.assert_array_equal(ids, naive(rows, rows, 4, own))
    assert (ids[own < 0, 0] == np.flatnonzero(own < 0)).all()


def test_many_rows_that_are_the_same():
    rows = np.tile(unit_rows(0, 1), (400, 1))
    ids, products = nearest(rows[:5], rows, 3)
    np.testing.assert_array_equal(ids, [[0, 1, 2]] * 5)
    np.testing.assert_allclose(products, 1, rtol=1e-6)


def test_a_few_rows_that_are_the_same_come_in_their_order():
    rows = np.concatenate([unit_rows(0, 200), np.tile(unit_rows(1, 1), (6, 1))])
    ids, _ = nearest(unit_rows(1, 1), rows, 4)
    np.testing.assert_array_equal(ids, [[200, 201, 202, 203]])
