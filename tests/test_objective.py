from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from and_tf.objective import neighbourhood_losses


def unit_rows(seed: int, shape: tuple[int, int]) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=shape)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def naive_losses(embeddings, bank, positives, temperature):
    """Eq. 2, 3 and 7, one example and one probability at a time, in float64."""
    losses = []
    for embedding, ids in zip(embeddings, positives, strict=True):
        logits = bank @ embedding / temperature
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        losses.append(-np.log(sum(probabilities[j] for j in ids if j >= 0)))
    return np.array(losses)


@pytest.mark.parametrize("temperature", [0.03, 0.1, 1.0])
@pytest.mark.parametrize("neighbours", [0, 1, 5])
def test_agrees_with_the_formula(temperature, neighbours):
    bank, embeddings = unit_rows(0, (50, 8)), unit_rows(1, (6, 8))
    rng = np.random.default_rng(2)
    positives = np.stack([rng.permutation(50)[: 1 + neighbours] for _ in range(6)])
    positives[::2, 1:] = -1  # every other example is an instance
    found = neighbourhood_losses(
        tf.constant(embeddings, tf.float32), tf.constant(bank, tf.float32), positives, temperature
    )
    expected = naive_losses(embeddings, bank, positives, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_gradient_agrees_with_finite_differences():
    bank, embeddings = unit_rows(0, (20, 4)), unit_rows(1, (3, 4))
    positives = np.array([[0, 5], [1, -1], [2, 7]])
    x = tf.constant(embeddings, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(neighbourhood_losses(x, tf.constant(bank), positives, 0.2))
    expected = np.zeros_like(embeddings)
    for at in np.ndindex(*embeddings.shape):
        step = np.zeros_like(embeddings)
        step[at] = 1e-6
        above = naive_losses(embeddings + step, bank, positives, 0.2).sum()
        below = naive_losses(embeddings - step, bank, positives, 0.2).sum()
        expected[at] = (above - below) / 2e-6
    np.testing.assert_allclose(tape.gradient(total, x), expected, rtol=1e-4, atol=1e-4)


def test_the_bank_is_a_constant():
    bank = tf.Variable(unit_rows(0, (20, 4)).astype("float32"))
    with tf.GradientTape() as tape:
        losses = neighbourhood_losses(bank[:2], bank, np.array([[0], [1]]), 0.1)
    gradient = tf.convert_to_tensor(tape.gradient(losses, bank)).numpy()
    assert np.any(gradient[:2]) and not np.any(gradient[2:])


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_computes_in_float32_whatever_comes_in(dtype):
    bank = tf.constant(unit_rows(0, (30, 8)), tf.float32)
    embeddings = tf.cast(unit_rows(1, (4, 8)), dtype)
    positives = np.arange(4)[:, None]
    found = neighbourhood_losses(embeddings, bank, positives, 0.1)
    assert found.dtype == tf.float32
    expected = neighbourhood_losses(tf.cast(embeddings, tf.float32), bank, positives, 0.1)
    np.testing.assert_array_equal(found, expected)


def test_is_finite_at_small_temperatures():
    bank = tf.constant(unit_rows(0, (30, 8)), tf.float32)
    losses = neighbourhood_losses(-bank[:4], bank, np.arange(4)[:, None], 0.005)
    assert np.isfinite(losses).all() and (losses.numpy() > 200).all()
