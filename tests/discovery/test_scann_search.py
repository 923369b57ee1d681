from __future__ import annotations

import math
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf

import and_tf
from and_tf.discovery import neighbourhoods, scann_index, scann_search
from and_tf.discovery.exact_search import search_exactly
from and_tf.discovery.neighbourhoods import choose_searcher, discover
from and_tf.discovery.scann_search import Probe, search_with_scann
from and_tf.distribution.shards import Shards
from tests.threads import run_workers

TEMPERATURE = 0.1


@pytest.fixture(scope="module")
def bank() -> np.ndarray:
    """6,007 rows in clusters of about 60."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(100, 32))
    rows = centres[random.integers(0, 100, 6007)] + 0.7 * random.normal(size=(6007, 32))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def shards(bank) -> Shards:
    return Shards([(0, bank)])


@pytest.fixture(scope="module")
def exact(shards):
    return search_exactly(shards, 3, TEMPERATURE)


@pytest.fixture
def forget_scann():
    """Have ScaNN looked for anew, now and after the test."""
    scann_index.load_scann.cache_clear()
    yield
    scann_index.load_scann.cache_clear()


needs_scann = pytest.mark.skipif(
    not neighbourhoods.load_scann(), reason="ScaNN has no wheel for this platform"
)


@needs_scann
def test_finds_what_the_probe_says_it_finds(shards, exact):
    shares = []
    found = search_with_scann(shards, 3, TEMPERATURE, progress=shares.append)
    check_found(*found, exact)
    assert shares == sorted(shares) and shares[-1] == 1


def check_found(ids, entropy, probe, exact) -> None:
    """What was found is near what an exact search finds, as near as the probe says."""
    assert ids.dtype == np.int32 and entropy.dtype == np.float32
    assert not (ids == np.arange(len(ids))[:, None]).any()
    recall = np.mean([len(np.intersect1d(a, b)) / 3 for a, b in zip(ids, exact[0], strict=True)])
    assert recall >= 0.94 and probe.recall >= 0.95
    assert abs(recall - probe.recall) < 0.03
    lowest = [np.argsort(values)[: len(ids) // 4] for values in (entropy, exact[1])]
    overlap = len(np.intersect1d(*lowest)) / len(lowest[0])
    assert overlap >= 0.94 and abs(overlap - probe.overlap) < 0.04
    assert probe.rank_correlation > 0.98
    assert probe.shortfall() is None


# Shards large enough for ScaNN and not, and one without rows.
CUTS = [(0, 4300), (4300, 4300), (4300, 5900), (5900, 6007)]


@needs_scann
def test_finds_the_same_in_shards(bank, exact):
    parts = [(first, bank[first:end]) for first, end in CUTS]
    ids, entropy, probe = search_with_scann(Shards(parts), 3, TEMPERATURE)
    check_found(ids, entropy, probe, exact)
    # Two shards are compared whole.
    assert probe.leaves == 131 + 1 + 1
    assert probe.leaves_searched == math.ceil(32 * math.sqrt(131 / 155)) + 1 + 1


@needs_scann
@pytest.mark.parametrize("sharded", [False, True], ids=["mirrored", "sharded"])
@pytest.mark.parametrize("count", [2, 3])
def test_workers_find_it_together(bank, exact, monkeypatch, count, sharded):
    monkeypatch.setattr(scann_search, "_BATCH", 1000)

    def search(worker):
        parts = [(first, bank[first:end]) for first, end in CUTS][worker.rank :: count]
        found = discover(parts if sharded else bank, 3, TEMPERATURE, "scann", workers=worker)
        return found, worker.sent

    (first, _), *others = results = run_workers(count, search)
    check_found(first.neighbours, first.entropy, first.probe, exact)
    for other, _ in others:
        np.testing.assert_array_equal(first.neighbours, other.neighbours)
        np.testing.assert_array_equal(first.entropy, other.entropy)
        assert first.probe == other.probe
    # The results; of shards also their rows, as queries and of the sample, and what they found.
    of_row = 12 + 4 * 3 + (2 * (8 + 4 * 32) + 8 * 31 * count if sharded else 0)
    sent = sum(sent for _, sent in results)
    of_probe = 1000 * 31 * 8 * count * 2 if sharded else 1000
    assert len(bank) * of_row <= sent < len(bank) * of_row + of_probe


@needs_scann
def test_settings_are_raised_until_they_do(shards, monkeypatch):
    monkeypatch.setattr(scann_index, "_FIRST_LEAVES", 1)
    monkeypatch.setattr(scann_search, "_FIRST_SAMPLE", 32)
    _, _, probe = search_with_scann(shards, 3, TEMPERATURE)
    assert probe.recall >= 0.95 and probe.leaves_searched > 1
    assert probe.overlap >= 0.95 and probe.sample > 32


@needs_scann
def test_says_what_it_could_not_reach_and_what_it_used(bank, monkeypatch):
    monkeypatch.setattr(scann_index, "_FIRST_LEAVES", 1)
    monkeypatch.setattr(scann_index.ScannIndexes, "raise_settings", lambda self: False)
    with pytest.warns(UserWarning, match=r"recall 0\.\d+, 0.95 wanted.*with 1 of 155 leaves"):
        found = discover(bank, 3, TEMPERATURE, "scann")
    assert found.probe.recall < 0.95


@needs_scann
def test_rows_that_scann_finds_too_little_for_are_searched_exactly(shards, exact, monkeypatch):
    search = scann_index.ScannIndexes.search

    def search_and_lose(self, ids, *arguments):
        found, similarities = search(self, ids, *arguments)
        found[found[:, 0] % 50 == 0, 2:] = -1
        return found, similarities

    monkeypatch.setattr(scann_index.ScannIndexes, "search", search_and_lose)
    ids, _, _ = search_with_scann(shards, 3, TEMPERATURE)
    np.testing.assert_array_equal(ids[::50], exact[0][::50])


@needs_scann
def test_never_a_neighbour_of_itself_even_among_copies(bank):
    copies = np.repeat(bank[:1100], 4, axis=0)
    ids, _, _ = search_with_scann(Shards([(0, copies)]), 2, TEMPERATURE)
    own = np.arange(len(copies))[:, None]
    assert not (ids == own).any()
    assert np.mean(ids // 4 == own // 4) > 0.99


@needs_scann
def test_the_draws_follow_the_seed(bank, monkeypatch):
    drawn, call = [], scann_search.StripeSearch.__call__

    def search_and_note(self, ids, rows):
        drawn.append(ids)
        return call(self, ids, rows)

    monkeypatch.setattr(scann_search.StripeSearch, "__call__", search_and_note)
    for seed in ((1, 2), (1, 2), (1, 3)):
        search_with_scann(Shards([(0, bank[:4500])]), 1, TEMPERATURE, seed)
    first, again, other = drawn
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_what_the_probe_reached_needs_no_word():
    good = Probe(1000, 0.96, 0.99, 0.97, 447, 32, 62, 31, 8192)
    assert good.shortfall() is None
    bad = Probe(1000, 0.9, 0.99, 0.9, 447, 32, 62, 31, 8192)
    assert "recall 0.900, 0.95 wanted and overlap of the selected set 0.900" in bad.shortfall()


@needs_scann
def test_auto_is_exact_up_to_where_scann_is_faster(monkeypatch):
    crossing = neighbourhoods.EXACT_UP_TO
    assert choose_searcher("auto", crossing) == "exact"
    assert choose_searcher("auto", crossing + 1) == "scann"
    assert choose_searcher("scann", crossing) == "scann"
    assert choose_searcher("scann", scann_index.FEWEST_ROWS - 1) == "exact"
    assert choose_searcher("exact", 10**7) == "exact"
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["GPU:0"])
    assert choose_searcher("auto", crossing + 1) == "exact"


def test_refuses_other_searchers():
    expected = r"one of \('exact', 'scann', 'auto'\). Received: 'faiss'"
    with pytest.raises(ValueError, match=expected):
        discover(np.eye(5), 1, TEMPERATURE, "faiss")
    with pytest.raises(ValueError, match=expected):
        and_tf.NeighbourhoodDiscovery(searcher="faiss")


class _Incompatible:
    """An importer whose ScaNN needs another TensorFlow."""

    def find_spec(self, name, path=None, target=None):
        if name == "scann":
            raise tf.errors.NotFoundError(None, None, "_scann_ops.so: undefined symbol: _ZN10")


@pytest.mark.parametrize("searcher", ["scann", "auto"])
@pytest.mark.parametrize("reason", ["missing", "incompatible"])
def test_without_scann_the_search_is_exact_and_one_warning_says_so(
    bank, exact, monkeypatch, forget_scann, searcher, reason
):
    monkeypatch.setattr(neighbourhoods, "EXACT_UP_TO", 5000)
    for name in [name for name in sys.modules if name.partition(".")[0] == "scann"]:
        monkeypatch.delitem(sys.modules, name)
    if reason == "missing":
        monkeypatch.setitem(sys.modules, "scann", None)
    else:
        monkeypatch.setattr(sys, "meta_path", [_Incompatible(), *sys.meta_path])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            found = discover(bank, 3, TEMPERATURE, searcher)
    (warning,) = caught
    assert "ScaNN cannot be used, so neighbourhoods are searched exactly" in str(warning.message)
    np.testing.assert_array_equal(found.neighbours, exact[0])
    assert found.probe is None
