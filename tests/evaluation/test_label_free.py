from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from and_tf.evaluation.label_free import (
    alignment,
    effective_rank,
    hubness,
    mutual_share,
    neighbour_counts,
    sample,
    uniformity,
    verdict,
)
from tests.evaluation.unit_rows import unit_rows

ROWS = unit_rows(0, 40)


def test_uniformity_is_over_all_pairs():
    pairs = [(i, j) for i in range(40) for j in range(40) if i != j]
    terms = [math.exp(-2 * float(np.sum((ROWS[i] - ROWS[j]) ** 2))) for i, j in pairs]
    assert uniformity(ROWS) == pytest.approx(math.log(sum(terms) / len(terms)), rel=1e-5)
    assert uniformity(np.tile(ROWS[:1], (9, 1))) == pytest.approx(0, abs=1e-5)
    assert uniformity(unit_rows(1, 2000, 128)) == pytest.approx(-4 + 8 / 128, abs=0.02)


def test_alignment_is_the_mean_squared_distance():
    others = unit_rows(1, 40)
    expected = np.mean([sum((a - b) ** 2) for a, b in zip(ROWS, others, strict=True)])
    assert alignment(ROWS, others) == pytest.approx(expected, rel=1e-5)
    assert alignment(ROWS, ROWS) == 0 and alignment(ROWS, -ROWS) == pytest.approx(4, rel=1e-5)


def test_effective_rank_is_that_of_the_singular_values():
    values = np.linalg.svd(ROWS.astype(np.float64), compute_uv=False)
    shares = values / values.sum()
    assert effective_rank(ROWS) == pytest.approx(np.exp(-np.sum(shares * np.log(shares))), rel=1e-5)
    assert effective_rank(np.eye(8)) == pytest.approx(8)
    assert effective_rank(np.tile(ROWS[:1], (9, 1))) == pytest.approx(1, abs=0.01)


def test_hubness_counts_how_often_a_row_is_a_neighbour():
    neighbours = np.array([[1, 2], [2, 0], [1, 0], [1, 2]])
    np.testing.assert_array_equal(neighbour_counts(neighbours), [2, 3, 3, 0])
    found = hubness(neighbours)
    assert found == {"most": 3, "skewness": pytest.approx(stats.skew([2, 3, 3, 0])), "never": 0.25}
    assert hubness(np.array([[1], [0]])) == {"most": 1, "skewness": 0, "never": 0}


def test_mutual_share():
    assert mutual_share(np.array([1, 0, 1, 2])) == 0.5


def test_a_sample_keeps_the_order():
    rows = np.arange(100)
    found = sample(rows, 10, seed=3)
    assert len(found) == 10 and (np.diff(found) > 0).all()
    np.testing.assert_array_equal(found, sample(rows, 10, seed=3))
    assert sample(rows, 100) is rows


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        # As measured: spread, effective rank and uniformity of 128 dimensions.
        ((0.9944, 37.9, -3.357), "healthy"),
        ((0.0097, 14.5, -0.039), "not trained yet"),  # conv4 on the digits
        ((0.0408, 7.3, -0.153), "not trained yet"),  # ResNet-18 on SVHN
        ((0.0167, 3.6, -0.064), "collapsed"),  # ten epochs after the start
        ((0.0001, 1.2, 0.0), "collapsed"),  # a learning rate of 3
    ],
)
def test_the_verdict(figures, expected):
    assert verdict(*figures, dim=128) == expected
