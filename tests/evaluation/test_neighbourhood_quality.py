from __future__ import annotations

import numpy as np
import pytest

from and_tf.evaluation.neighbourhood_quality import consistency, embedding_spread


def test_consistency_is_the_share_of_pairs_of_one_class():
    labels = np.array([0, 0, 1, 1, -1])
    anchors, neighbours = np.array([0, 2, 3]), np.array([[1, 2], [3, 0], [4, 2]])
    # Of the six pairs (0,1) (2,3) (3,2) agree, (0,2) (2,0) do not, (3,4) has no label.
    assert consistency(anchors, neighbours, labels) == pytest.approx(3 / 5)


def test_consistency_without_pairs_is_nan():
    assert consistency(np.empty(0, int), np.empty((0, 1), int), np.zeros(4, int)) is None


def test_spread_tells_a_sphere_from_a_point():
    rows = np.random.default_rng(0).normal(size=(5000, 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert embedding_spread(rows) == pytest.approx(1, abs=0.01)
    assert embedding_spread(np.tile(rows[:1], (50, 1))) == pytest.approx(0, abs=1e-6)
    assert embedding_spread(np.concatenate([rows[:1], -rows[:1]])) == pytest.approx(1)
