from __future__ import annotations

import numpy as np
import pytest

from and_tf.discovery import exact_search, pairwise
from and_tf.discovery.exact_search import search_exactly
from and_tf.discovery.pairwise import search_pairs
from and_tf.discovery.stripes import StripeSearch
from and_tf.distribution.shards import Shards
from tests.threads import run_workers


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


def whole(bank: np.ndarray, neighbours: int, temperature: float):
    return search_exactly(Shards([(0, bank)]), neighbours, temperature)


def in_stripes(bank: np.ndarray, neighbours: int, temperature: float):
    """As a GPU searches, on whatever there is."""
    search = StripeSearch(Shards([(0, bank)]), neighbours, temperature)
    return search(np.arange(len(bank)), bank)


def in_blocks(block_size: int):
    def search(bank: np.ndarray, neighbours: int, temperature: float):
        shards = Shards([(0, bank)])
        return search_pairs(
            shards, neighbours, temperature, lambda share: None, block_size=block_size
        )

    return search


def cut(bank: np.ndarray, number: int) -> list[tuple[int, np.ndarray]]:
    """So many shards, each half as large as the one before, and the last without rows."""
    bounds = [0, *(len(bank) - len(bank) // 2**part for part in range(1, number - 1)), len(bank)]
    return [*zip(bounds, np.split(bank, bounds[1:-1]), strict=False), (len(bank), bank[:0])]


def in_shards(search):
    def search_shards(bank: np.ndarray, neighbours: int, temperature: float):
        return search(Shards(cut(bank, 5)), neighbours, temperature)

    return search_shards


def stripes_of_shards(shards: Shards, neighbours: int, temperature: float):
    ids = np.arange(shards.num_rows)
    return StripeSearch(shards, neighbours, temperature)(ids, shards.take(ids))


def by_workers(count: int, sharded: bool):
    """The bank is everyone's, or dealt out by shards."""

    def search(bank: np.ndarray, neighbours: int, temperature: float):
        def of_worker(worker):
            parts = cut(bank, 5)[worker.rank :: count]
            shards = Shards(parts, worker) if sharded else Shards([(0, bank)])
            return search_exactly(shards, neighbours, temperature, workers=worker)

        first, *others = run_workers(count, of_worker)
        for other in others:
            for mine, theirs in zip(first, other, strict=True):
                np.testing.assert_array_equal(mine, theirs)
        return first

    return search


SEARCHES = {
    "whole": whole,
    "stripes": in_stripes,
    "blocks of 1": in_blocks(1),
    "blocks of 17": in_blocks(17),
    "shards": in_shards(search_exactly),
    "stripes of shards": in_shards(stripes_of_shards),
    "2 workers": by_workers(2, sharded=False),
    "3 workers": by_workers(3, sharded=False),
    "2 workers, sharded": by_workers(2, sharded=True),
    "3 workers, sharded": by_workers(3, sharded=True),
}


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


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_the_lower_id_comes_first_among_copies(search):
    bank = np.tile(np.eye(4, dtype=np.float32), (6, 1))  # dot products without rounding
    found, _ = search(bank, 5, 0.1)
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
        whole(bank, 1, 0.1)


@pytest.mark.parametrize("gpus", [[], ["GPU:0"]])
def test_progress_rises_to_the_whole(monkeypatch, gpus):
    monkeypatch.setattr(exact_search.tf.config, "get_visible_devices", lambda kind: gpus)
    seen = []
    search_exactly(Shards([(0, unit_rows(0, (2000, 4)))]), 1, 0.1, seen.append)
    assert seen == sorted(seen) and seen[-1] == 1 and seen[0] > 0


def test_threads_do_not_change_a_bit(monkeypatch):
    bank = unit_rows(0, (500, 16))
    several = in_blocks(32)(bank, 2, 0.1)
    monkeypatch.setattr(pairwise, "num_cores", lambda: 1)
    for a, b in zip(several, in_blocks(32)(bank, 2, 0.1), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("gpus", [[], ["GPU:0"]])
def test_workers_find_together_what_one_finds_and_send_little(monkeypatch, gpus):
    monkeypatch.setattr(exact_search.tf.config, "get_visible_devices", lambda kind: gpus)
    bank = unit_rows(3, (3000, 16))
    expected = whole(bank, 2, 0.1)

    def search(worker):
        return search_exactly(Shards([(0, bank)]), 2, 0.1, workers=worker), worker.sent

    for found, sent in run_workers(3, search):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)
        assert sent <= len(bank) * (16 + 8 * 2 + 20) + 100


def test_each_worker_compares_its_share_of_the_pairs(monkeypatch):
    bank, compared = unit_rows(4, (600, 4)), []
    compare_blocks = pairwise._Pairs._compare_blocks

    def note(self, block, other, buffers):
        compared.append((block.ids.start, other.ids.start))
        return compare_blocks(self, block, other, buffers)

    monkeypatch.setattr(pairwise._Pairs, "_compare_blocks", note)

    def search(worker):
        search_pairs(Shards([(0, bank)]), 1, 0.1, lambda share: None, worker, block_size=20)

    run_workers(3, search)
    assert len(compared) == len(set(compared)) == 30 * 31 // 2
