from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from and_tf.method.memory import RandomUnitRows, updated_rows


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.5, 0.9])
def test_update_is_the_normalised_mean(momentum):
    rng = np.random.default_rng(0)
    old, new = unit(rng.normal(size=(5, 7))), unit(rng.normal(size=(5, 7)))
    found = updated_rows(tf.constant(old, tf.float32), tf.constant(new, tf.float32), momentum)
    np.testing.assert_allclose(found, unit(momentum * old + (1 - momentum) * new), atol=1e-6)


def test_update_is_float32_whatever_the_embeddings():
    old = tf.constant(unit(np.ones((2, 4))), tf.float32)
    found = updated_rows(old, tf.cast(old, tf.bfloat16), 0.5)
    assert found.dtype == tf.float32


def test_update_passes_no_gradient():
    old, new = tf.ones((2, 4)), tf.Variable(tf.ones((2, 4)))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(updated_rows(old, new, 0.5))
    assert tape.gradient(total, new) is None


def test_initial_rows_cover_the_sphere_and_follow_the_seed():
    rows = RandomUnitRows(seed=3)((2000, 16)).numpy()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(rows.T), np.eye(16) / 16, atol=0.015)
    np.testing.assert_array_equal(rows, RandomUnitRows.from_config({"seed": 3})((2000, 16)))
    assert not np.allclose(rows, RandomUnitRows(seed=4)((2000, 16)))


@pytest.mark.parametrize("dim", [5, 8])
def test_a_part_of_the_first_rows_is_that_of_all(dim):
    rows = RandomUnitRows(seed=2**32 - 1)
    whole = rows((1000, dim)).numpy()
    for first, last in ((0, 1000), (0, 3), (7, 8), (331, 999), (1000, 1000)):
        np.testing.assert_allclose(rows.part(first, last, dim), whole[first:last], rtol=1e-6)
