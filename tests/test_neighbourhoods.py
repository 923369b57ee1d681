from __future__ import annotations

import numpy as np
import pytest

from and_tf.neighbourhoods import Neighbourhoods, discover


def unit_rows(seed: int, shape: tuple[int, int]) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=shape)
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def naive(bank: np.ndarray, neighbours: int, temperature: float):
    """Eq. 1 and Eq. 5, one row at a time, in float64."""
    ids, entropies = [], []
    for i, row in enumerate(bank.astype(np.float64)):
        similarities = bank @ row
        p = np.exp((similarities - similarities.max()) / temperature)
        p /= p.sum()
        entropies.append(-np.sum(p * np.log(np.maximum(p, 1e-300))))
        order = np.argsort(-similarities, kind="stable")
        ids.append([j for j in order if j != i][:neighbours])
    return np.array(ids), np.array(entropies)


@pytest.mark.parametrize("neighbours", [1, 5, 59])
@pytest.mark.parametrize("temperature", [0.03, 0.1])
@pytest.mark.parametrize("block_size", [None, 1, 17])
def test_agrees_with_the_formulas(neighbours, temperature, block_size):
    bank = unit_rows(0, (60, 12))
    found = discover(bank, neighbours, temperature, block_size)
    ids, entropies = naive(bank, neighbours, temperature)
    np.testing.assert_array_equal(found.neighbours, ids)
    np.testing.assert_allclose(found.entropy, entropies, rtol=1e-4, atol=1e-4)


def test_never_a_neighbour_of_itself_even_among_copies():
    bank = np.repeat(unit_rows(0, (4, 8)), 5, axis=0)
    found = discover(bank, 3, 0.1)
    own = np.arange(20)[:, None]
    assert not (found.neighbours == own).any()
    np.testing.assert_array_equal(found.neighbours // 5, np.repeat(own // 5, 3, axis=1))
    assert all(len(set(ids)) == 3 for ids in found.neighbours)


def test_entropy_of_equal_rows_is_log_n():
    found = discover(np.tile(unit_rows(0, (1, 8)), (40, 1)), 1, 0.1)
    np.testing.assert_allclose(found.entropy, np.log(40), rtol=1e-5)


@pytest.mark.parametrize("neighbours", [0, 10])
def test_refuses_impossible_neighbours(neighbours):
    with pytest.raises(ValueError, match=f"Received: neighbours={neighbours}, examples=10"):
        discover(unit_rows(0, (10, 4)), neighbours, 0.1)


def test_mutual_share():
    nearest = np.array([[1], [0], [1], [2]])  # 0 and 1 choose each other
    assert Neighbourhoods(nearest, np.zeros(4)).mutual_share() == 0.5
