"""One shard alone; tests/distribution/test_parity.py has several."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from and_tf.method.memory import RandomUnitRows
from and_tf.method.sharded_bank import ShardedBank


@pytest.fixture
def bank() -> ShardedBank:
    return ShardedBank(7, 4, seed=5, path="and/bank")


def test_its_first_rows_are_those_of_a_mirrored_bank(bank):
    expected = RandomUnitRows(5)((7, 4)).numpy()
    np.testing.assert_allclose(bank.numpy(), expected, rtol=1e-6)
    ((first, rows),) = bank.shards()
    assert first == 0 and rows.dtype == np.float32
    np.testing.assert_array_equal(rows, bank.numpy())


def test_rows_are_found_by_id(bank):
    ids = np.array([[6, -1], [0, 3]])
    rows = bank.gather(ids)
    assert rows.shape == (2, 2, 4)
    np.testing.assert_array_equal(rows[0, 1], np.zeros(4))
    for place in ((0, 0), (1, 0), (1, 1)):
        np.testing.assert_array_equal(rows[place], bank.numpy()[ids[place]])


def test_rows_are_replaced_by_id_and_all_at_once(bank):
    before = bank.numpy()
    bank.scatter_update(tf.IndexedSlices(tf.fill([2, 4], 0.5), tf.constant([5, 2])))
    changed = np.isin(np.arange(7), [5, 2])
    np.testing.assert_array_equal(bank.numpy()[changed], np.full((2, 4), 0.5))
    np.testing.assert_array_equal(bank.numpy()[~changed], before[~changed])
    bank.assign(before.astype(np.float64))
    np.testing.assert_array_equal(bank.numpy(), before)


def test_rows_of_another_shape_are_refused(bank):
    with pytest.raises(ValueError, match=r"and/bank takes .* \(7, 4\). Received: \(6, 4\)"):
        bank.assign(np.zeros((6, 4), np.float32))
