from __future__ import annotations

import itertools

import numpy as np
import pytest

from and_tf.evaluation.entropy_order import order_quality
from and_tf.evaluation.neighbourhood_quality import consistent_shares, neighbour_agreement


def test_shares_of_each_row():
    labels = np.array([0, 0, 1, -1])
    neighbours = np.array([[1, 2], [0, 3], [3, 0], [0, 1]])
    found = consistent_shares(neighbours, labels)
    np.testing.assert_array_equal(found, [0.5, 1, 0, np.nan])


def test_the_area_is_the_probability_of_the_right_order():
    generator = np.random.default_rng(0)
    entropy, shares = generator.random(40), generator.choice([0, 0.5, 1, np.nan], 40)
    known = ~np.isnan(shares)
    pairs = list(itertools.product(entropy[shares == 1], entropy[known & (shares < 1)]))
    found = order_quality(entropy, shares, steps=4)
    assert found["auc"] == pytest.approx(np.mean([a < b for a, b in pairs]))
    order = [i for i in np.argsort(entropy) if known[i]]
    for step, mean in enumerate(found["curve"], start=1):
        first = order[: int(np.ceil(step / 4 * len(order)))]
        assert mean == pytest.approx(np.mean(shares[first]))


def test_where_there_is_no_order_to_judge():
    assert order_quality(np.ones(3), np.ones(3))["auc"] is None
    assert order_quality(np.ones(3), np.full(3, np.nan)) is None


def test_agreement_of_two_spaces():
    ones, others = np.array([[1, 2], [0, 2]]), np.array([[2, 1], [2, 3]])
    assert neighbour_agreement(ones, others) == 0.75
