from __future__ import annotations

import numpy as np
import pytest

from and_tf.discovery.entropy_estimate import EntropyEstimate
from and_tf.distribution.shards import Shards

N = 400
RNG = np.random.default_rng(0)
BANK = RNG.normal(size=(N, 6)) + 2 * np.eye(6)[RNG.integers(0, 6, N)]
BANK = (BANK / np.linalg.norm(BANK, axis=1, keepdims=True)).astype(np.float32)
SHARDS = Shards([(0, BANK[:150]), (150, BANK[150:])])
ROWS = np.arange(0, N, 10)


def nearest_rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each of ROWS: ids and similarities, the row itself among them."""
    similarities = BANK[ROWS] @ BANK.T
    ids = np.argsort(-similarities, axis=1)[:, :count]
    return ids, np.take_along_axis(similarities, ids, axis=1)


def exact_sums(temperature: float, shift: float) -> np.ndarray:
    logits = BANK[ROWS].astype(np.float64) @ BANK.T.astype(np.float64) / temperature - shift
    return np.stack([np.exp(logits).sum(axis=1), (logits * np.exp(logits)).sum(axis=1)])


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize(("temperature", "shift"), [(0.1, 0.0), (0.02, 50.0)])
def test_a_sample_of_all_rows_is_exact_because_known_rows_count_once(count, temperature, shift):
    estimate = EntropyEstimate(SHARDS, RNG.permutation(N), temperature)
    expected = exact_sums(temperature, shift)
    np.testing.assert_allclose(
        estimate.partition_sums(BANK[ROWS], *nearest_rows(count)), expected, rtol=2e-4, atol=2e-5
    )
    entropy = np.log(expected[0]) - expected[1] / expected[0]
    np.testing.assert_allclose(
        estimate(BANK[ROWS], *nearest_rows(count)), entropy, rtol=1e-4, atol=1e-4
    )


def test_both_sums_are_unbiased_over_samples():
    nearest = nearest_rows(10)
    draws = np.stack(
        [
            EntropyEstimate(SHARDS, RNG.choice(N, 60, replace=False), 0.2).partition_sums(
                BANK[ROWS], *nearest
            )
            for _ in range(200)
        ]
    )
    error = (draws.mean(axis=0) - exact_sums(0.2, 0.0)) / (draws.std(axis=0) / np.sqrt(len(draws)))
    # 80 sums that share their samples; a known row counted twice is off by many errors.
    assert np.abs(error).max() < 4.5
    assert np.abs(error.mean()) < 2.5


def test_nothing_is_known_of_an_id_below_zero():
    ids, similarities = nearest_rows(8)
    estimate = EntropyEstimate(SHARDS, np.arange(0, N, 3), 0.1)
    expected = estimate.partition_sums(BANK[ROWS], ids[:, :5], similarities[:, :5])
    ids[:, 5:], similarities[:, 5:] = -1, np.nan
    found = estimate.partition_sums(BANK[ROWS], ids, similarities)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_more_nearest_rows_make_a_better_estimate():
    sample = RNG.choice(N, 80, replace=False)
    estimate, (partition, weighted) = EntropyEstimate(SHARDS, sample, 0.1), exact_sums(0.1, 0.0)
    exact = np.log(partition) - weighted / partition
    errors = [np.abs(estimate(BANK[ROWS], *nearest_rows(n)) - exact).mean() for n in (1, 10, 100)]
    assert errors[0] > errors[1] > errors[2]
