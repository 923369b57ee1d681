from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sklearn import linear_model

from and_tf.evaluation.linear_probes import LinearProbes
from and_tf.evaluation.pooling import pooled
from tests.evaluation.unit_rows import classes_apart


def test_a_map_is_averaged_to_the_grid_that_fits():
    maps = np.random.default_rng(0).normal(size=(2, 6, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(pooled(maps, 72), maps.reshape(2, -1))
    found = pooled(maps, 12).numpy().reshape(2, 2, 2, 3)
    for i, j in np.ndindex(2, 2):
        cell = maps[:, 3 * i : 3 * i + 3, 2 * j : 2 * j + 2]
        np.testing.assert_allclose(found[:, i, j], cell.mean(axis=(1, 2)), atol=1e-6)
    np.testing.assert_allclose(pooled(maps, 2), maps.mean(axis=(1, 2)), atol=1e-6)
    found = pooled(maps[:, :5], 27).numpy().reshape(2, 3, 3, 3)  # cells that overlap
    np.testing.assert_allclose(found[:, 1, 0], maps[:, 1:4, 0:2].mean(axis=(1, 2)), atol=1e-6)
    vectors = np.ones((2, 9), np.float32)
    np.testing.assert_array_equal(pooled(vectors, 4), vectors)


def test_agrees_with_scikit_learn_within_a_point():
    rows, labels = classes_apart(0, 3000, classes=5, noise=0.7, dim=20)
    test, truth = classes_apart(1, 2000, classes=5, noise=0.7, dim=20)
    fitted = linear_model.LogisticRegression(C=100, max_iter=500).fit(rows, labels)
    features = {"one": rows, "other": rows[:, :6]}
    probes = LinearProbes(features, 5, steps=600, rates=(0.3, 3.0))
    order = np.random.default_rng(0)
    for _ in range(600):
        batch = order.integers(0, 3000, 256)
        probes.update({name: tf.constant(x[batch]) for name, x in features.items()}, labels[batch])
    hits = probes.hits({"one": test, "other": test[:, :6]}, tf.constant(truth))
    assert hits["one"].shape == (2000, 2)
    best = hits["one"].numpy().mean(axis=0).max()
    assert best == pytest.approx(fitted.score(test, truth), abs=0.01)
    assert hits["other"].numpy().mean() < best - 0.03


def test_an_update_is_a_step_of_sgd():
    rows, labels = classes_apart(0, 12, dim=4)
    probes = LinearProbes({"x": rows}, 3, steps=10, rates=(0.5,))
    labels = np.where(np.arange(12) < 9, labels, -1)  # the last ones do not count
    probes.update({"x": tf.constant(rows)}, tf.constant(labels))
    x = (rows - rows.mean(axis=0)) / np.sqrt((rows.var(axis=0) + 1e-5) * 4)
    x = np.concatenate([x, np.ones((12, 1))], axis=1)[:9]
    errors = (np.full((9, 3), 1 / 3) - np.eye(3)[labels[:9]]) / 9
    weights, _ = probes._weights["x"]
    np.testing.assert_allclose(weights, -0.5 * 1.9 * x.T @ errors, atol=1e-6)
