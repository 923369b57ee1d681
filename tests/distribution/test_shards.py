from __future__ import annotations

import numpy as np
import pytest

from and_tf.distribution.shards import Shards, nearest_of, results_of_all
from and_tf.distribution.workers import ALONE
from tests.threads import run_workers

BANK = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
# The shards of two workers: between each other's, of different sizes, and without rows.
PLACES = [[(7, 11), (0, 2), (11, 11)], [(2, 7), (7, 7)]]


def shards_of(worker) -> Shards:
    return Shards([(first, BANK[first:end]) for first, end in PLACES[worker.rank]], worker)


def test_any_rows_wherever_they_are():
    wanted = np.array([10, 0, 6, 2, 0])

    def take(worker):
        shards = shards_of(worker)
        return shards.take(wanted), shards.take(wanted[:0])

    for rows, none in run_workers(2, take):
        np.testing.assert_array_equal(rows, BANK[wanted])
        assert none.shape == (0, 3)


def test_knows_all_shards_by_id():
    first, second = run_workers(2, shards_of)
    assert first.sizes == second.sizes == [2, 5, 4]
    assert first.num_rows == second.num_rows == 11
    assert first.ids.tolist() == [0, 1, 7, 8, 9, 10] and second.ids.tolist() == [2, 3, 4, 5, 6]
    # As the shards come from the workers, each its own by id: 0, 7 and 2.
    assert first.order.tolist() == [0, 2, 1]


def test_every_worker_shows_its_rows_until_the_last_is_through():
    def show(worker):
        shards = shards_of(worker)
        return list(shards.shown(shards.ids, 4))

    first, second = run_workers(2, show)
    assert [ids.tolist() for ids, _, _ in first] == [[0, 1, 2, 3], [7, 8, 4, 5], [9, 10, 6]]
    for (ids, rows, mine), (others_ids, _, others) in zip(first, second, strict=True):
        np.testing.assert_array_equal(ids, others_ids)
        np.testing.assert_array_equal(rows, BANK[ids])
        np.testing.assert_array_equal(mine, ~others)


def test_rows_are_shared_out_where_all_have_all():
    found = run_workers(3, lambda worker: Shards([(0, BANK)]).rows_for(worker))
    assert [rows.tolist() for rows in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    held = run_workers(2, lambda worker: shards_of(worker).rows_for(worker))
    assert sorted(np.concatenate(held)) == list(range(11))
    assert Shards([(0, BANK[:4]), (4, BANK[4:])]).rows_for(ALONE).tolist() == list(range(11))


@pytest.mark.parametrize("places", [[(0, 5), (6, 11)], [(0, 6), (5, 11)], [(1, 11)]])
def test_refuses_rows_that_are_missing_or_twice(places):
    with pytest.raises(ValueError, match=r"once each, from 0 on. Received: rows \d to \d+"):
        Shards([(first, BANK[first:end]) for first, end in places])


def test_results_come_in_the_order_of_the_rows():
    def results(worker):
        rows = np.array([[4, 1], [0, 2, 3]][worker.rank])
        return results_of_all(
            worker, rows, rows[:, np.newaxis].astype(np.int32), rows.astype(np.float32)
        )

    for ids, entropies in run_workers(2, results):
        assert ids[:, 0].tolist() == entropies.tolist() == [0, 1, 2, 3, 4]


def test_the_nearest_of_candidates():
    similarities = np.array([[0.5, 0.9, 0.5, -np.inf]], np.float32)
    values, ids = nearest_of(similarities, np.array([[3, 7, 8, -1]]), 3)
    assert ids.tolist() == [[7, 3, 8]] and values[0] == pytest.approx([0.9, 0.5, 0.5])
    assert nearest_of(similarities, np.array([[3, 7, 8, -1]]), 9)[1].tolist() == [[7, 3, 8, -1]]
