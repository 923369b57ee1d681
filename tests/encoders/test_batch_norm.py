"""The fused layer against the definition, and against Keras's own layer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from and_tf.encoders.batch_norm import BatchNormalization


def maps(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(3.0, 2.0, shape).astype("float32")


def layer_and_keras(**options) -> tuple[BatchNormalization, keras.layers.BatchNormalization]:
    """Both with the same weights, away from their first values."""
    pair = (BatchNormalization(**options), keras.layers.BatchNormalization(**options))
    rng = np.random.default_rng(1)
    weights = [rng.uniform(0.5, 1.5, 6).astype("float32") for _ in range(4)]
    for layer in pair:
        layer.build((None, 5, 5, 6))
        layer.set_weights(weights)
    return pair


def test_training_normalises_by_the_batch_and_keeps_unbiased_running_statistics():
    x = maps(4, 5, 5, 6)
    layer, _ = layer_and_keras(momentum=0.9, epsilon=1e-5)
    gamma, beta, mean, variance = layer.get_weights()
    y = layer(x, training=True).numpy()
    flat = x.reshape(-1, 6).astype("float64")
    expected = (x - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5) * gamma + beta
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.9 * mean + 0.1 * flat.mean(0), rtol=1e-5)
    unbiased = flat.var(0, ddof=1)
    np.testing.assert_allclose(layer.moving_variance, 0.9 * variance + 0.1 * unbiased, rtol=1e-5)


def test_inference_and_gradients_are_those_of_keras():
    x, upstream = maps(4, 5, 5, 6), maps(4, 5, 5, 6, seed=2)
    layer, reference = layer_and_keras(epsilon=1e-5)
    np.testing.assert_allclose(layer(x, training=False), reference(x, training=False), atol=1e-5)
    gradients = []
    for one in (layer, reference):
        tensor = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            y = one(tensor, training=True)
        gradients.append(tape.gradient(y, [tensor, one.gamma.value, one.beta.value], upstream))
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_frozen_layer_uses_and_keeps_its_running_statistics():
    layer, _ = layer_and_keras()
    layer.trainable = False
    before = layer.get_weights()
    x = maps(4, 5, 5, 6)
    np.testing.assert_array_equal(layer(x, training=True), layer(x, training=False))
    for weight, old in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_half_precision_keeps_float32_statistics():
    x = maps(4, 5, 5, 6)
    layer = BatchNormalization(dtype="mixed_bfloat16")
    y = layer(x, training=True)
    assert y.dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    mean = tf.cast(tf.cast(x, tf.bfloat16), tf.float32).numpy().mean((0, 1, 2))
    np.testing.assert_allclose(layer.moving_mean, 0.01 * mean, rtol=1e-3)


@pytest.mark.parametrize("options", [{"synchronized": True}, {"momentum": 0.9, "epsilon": 1e-5}])
def test_config_round_trips(options):
    layer = BatchNormalization(**options)
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(copy) is BatchNormalization
    assert copy.get_config() == layer.get_config()


def test_float64_is_refused():
    layer = BatchNormalization(dtype="float64")
    with pytest.raises(ValueError, match="has no float64: make the encoder under"):
        layer(maps(2, 3, 3, 6))
