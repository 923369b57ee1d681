from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from and_tf.discovery import neighbourhoods
from and_tf.discovery.exact_search import search_exactly
from and_tf.discovery.neighbourhoods import Neighbourhoods, discover
from and_tf.distribution.shards import Shards
from tests.threads import run_workers


def unit_rows(seed: int, shape: tuple[int, int]) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=shape)
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def test_takes_a_variable_as_well_as_an_array():
    bank = unit_rows(0, (30, 8))
    expected = search_exactly(Shards([(0, bank)]), 2, 0.1)
    for given in (bank.astype(np.float64), tf.Variable(bank)):
        found = discover(given, 2, 0.1)
        np.testing.assert_array_equal(found.neighbours, expected[0])
        np.testing.assert_allclose(found.entropy, expected[1])


def test_takes_a_bank_in_shards():
    bank = unit_rows(0, (30, 8))
    expected = discover(bank, 2, 0.1)
    found = discover([(0, bank[:9]), (9, bank[9:9]), (9, bank[9:])], 2, 0.1)
    np.testing.assert_array_equal(found.neighbours, expected.neighbours)
    np.testing.assert_allclose(found.entropy, expected.entropy, rtol=1e-4)


def test_all_workers_search_exactly_where_one_has_no_scann(monkeypatch):
    bank = unit_rows(0, (5000, 8))
    expected = discover(bank, 1, 0.1, "exact")
    searchers = iter(["scann", "exact"])
    monkeypatch.setattr(neighbourhoods, "choose_searcher", lambda *_: next(searchers))
    for found in run_workers(2, lambda worker: discover(bank, 1, 0.1, "scann", workers=worker)):
        assert found.probe is None
        np.testing.assert_array_equal(found.neighbours, expected.neighbours)


@pytest.mark.parametrize("neighbours", [0, 10])
def test_refuses_impossible_neighbours(neighbours):
    with pytest.raises(ValueError, match=f"Received: neighbours={neighbours}, examples=10"):
        discover(unit_rows(0, (10, 4)), neighbours, 0.1)


@pytest.mark.parametrize("searcher", ["exact", "scann"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1e38])
def test_refuses_rows_that_are_not_finite(searcher, value):
    bank = unit_rows(0, (5000, 4))
    bank[[7, 4999], 2] = value
    with pytest.raises(ValueError, match=r"2 of 5,000 rows .*, such as 7, 4999$"):
        discover(bank, 1, 0.1, searcher)


def test_all_holders_refuse_a_row_that_is_not_finite():
    bank = unit_rows(0, (30, 4))
    bank[20] = np.nan

    def refuses(worker):
        own = slice(15) if worker.rank == 0 else slice(15, 30)
        with pytest.raises(ValueError, match=r"1 of 30 rows .*, such as 20$"):
            discover([(own.start or 0, bank[own])], 1, 0.1, workers=worker)

    run_workers(2, refuses)


def test_mutual_share():
    nearest = np.array([[1], [0], [1], [2]])  # 0 and 1 choose each other
    assert Neighbourhoods(nearest, np.zeros(4)).mutual_share() == 0.5
