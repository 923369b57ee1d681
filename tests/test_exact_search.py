from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from and_tf import exact_search, pairwise
from and_tf.exact_search import search_exactly, search_rows
from and_tf.pairwise import search_pairs


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


def on_gpu(bank: np.ndarray, neighbours: int, temperature: float):
    """The stripes that a GPU searches, on whatever there is."""
    return search_rows(tf.constant(bank), np.arange(len(bank)), neighbours, temperature)


def in_blocks(block_size: int):
    def search(bank: np.ndarray, neighbours: int, temperature: float):
        return search_pairs(bank, neighbours, temperature, lambda share: None, block_size)

    return search


SEARCHES = {"whole": search_exactly, "gpu": on_gpu, "1": in_blocks(1), "17": in_blocks(17)}


@pytest.mark.parametrize("neighbours", [1, 5, 60])
@pytest.mark.parametrize("temperature", [0.01, 0.03, 0.1, 1.0])
@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_agrees_with_the_formulas(search, neighbours, temperature):
    bank = unit_rows(0, (61, 12))
    found, entropy = search(bank, neighbours, temperature)
    ids, entropies = naive(bank, neighbours, temperature)
    np.testing.assert_array_equal(found, ids)
    np.testing.assert_allclose(entropy, entropies, rtol=1e-4, atol=1e-4)
    assert found.dtype == np.int32 and entropy.dtype == np.float32


def test_groups_of_several_blocks_find_the_same(monkeypatch):
    bank = unit_rows(1, (211, 8))
    expected = in_blocks(500)(bank, 3, 0.1)
    monkeypatch.setattr(pairwise, "_MOST_GROUPS", 5)
    found = in_blocks(7)(bank, 3, 0.1)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5)


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_never_a_neighbour_of_itself_even_among_copies(search):
    bank = np.repeat(unit_rows(0, (9, 8)), 5, axis=0)
    found, _ = search(bank, 3, 0.1)
    own = np.arange(45)[:, None]
    assert not (found == own).any()
    np.testing.assert_array_equal(found // 5, np.repeat(own // 5, 3, axis=1))
    assert all(len(set(ids)) == 3 for ids in found)


def test_the_lower_id_comes_first_among_copies():
    bank = np.tile(np.eye(4, dtype=np.float32), (6, 1))  # dot products without rounding
    found, _ = in_blocks(5)(bank, 5, 0.1)
    expected = [[j for j in range(i % 4, 24, 4) if j != i] for i in range(24)]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_entropy_of_equal_rows_is_log_n(search):
    _, entropy = search(np.tile(unit_rows(0, (1, 8)), (40, 1)), 1, 0.1)
    np.testing.assert_allclose(entropy, np.log(40), rtol=1e-5)


def test_rows_need_only_be_of_about_unit_length():
    bank = unit_rows(0, (50, 12)) * np.random.default_rng(1).uniform(0.9, 1.1, (50, 1))
    bank = bank.astype(np.float32)
    _, entropy = in_blocks(16)(bank, 1, 0.02)
    np.testing.assert_allclose(entropy, naive(bank, 1, 0.02)[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [3.0, np.nan, np.inf])
def test_refuses_rows_that_float32_cannot_hold(value):
    bank = unit_rows(0, (10, 4))
    bank[3] *= value
    with pytest.raises(ValueError, match="about unit length. Received: squared lengths from"):
        search_exactly(bank, 1, 0.1)


@pytest.mark.parametrize("gpus", [[], ["GPU:0"]])
def test_progress_rises_to_the_whole(monkeypatch, gpus):
    monkeypatch.setattr(exact_search.tf.config, "get_visible_devices", lambda kind: gpus)
    seen = []
    search_exactly(unit_rows(0, (2000, 4)), 1, 0.1, seen.append)
    assert seen == sorted(seen) and seen[-1] == 1 and seen[0] > 0


def test_threads_do_not_change_a_bit(monkeypatch):
    bank = unit_rows(0, (500, 16))
    several = in_blocks(32)(bank, 2, 0.1)
    monkeypatch.setattr(pairwise, "num_cores", lambda: 1)
    for a, b in zip(several, in_blocks(32)(bank, 2, 0.1), strict=True):
        np.testing.assert_array_equal(a, b)
