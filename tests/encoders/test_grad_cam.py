"""Grad-CAM against a case that was computed by hand, and by numbers alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from and_tf.encoders import conv4
from and_tf.encoders.grad_cam import grad_cam, last_stage


def pooled_encoder() -> keras.Model:
    """Two channels, red and green as they are, their means over the image, brought to unit length."""
    inputs = keras.Input((2, 2, 3))
    convolution = layers.Conv2D(2, 1, use_bias=False, name="conv1")
    x = layers.GlobalAveragePooling2D()(convolution(inputs))
    encoder = keras.Model(inputs, layers.UnitNormalization()(x))
    convolution.set_weights([np.array([[[[1, 0], [0, 1], [0, 0]]]], np.float32)])
    return encoder


def test_a_case_computed_by_hand():
    image = np.zeros((1, 2, 2, 3), np.float32)
    image[0, :, :, 0] = [[12, 0], [0, 0]]  # mean 3
    image[0, :, :, 1] = [[0, 8], [8, 0]]  # mean 4
    # Means m = (3, 4), |m| = 5, embedding (0.6, 0.8). Target t = (1, 0): s = 0.6 and
    # ds/dm = (t - s x) / |m| = ((1, 0) - (0.36, 0.48)) / 5 = (0.128, -0.096).
    # A mean over 4 places: ds/dA_c = ds/dm_c / 4 everywhere, and so is its mean, (0.032, -0.024).
    # The map is ReLU(0.032 red - 0.024 green).
    heat = grad_cam(pooled_encoder(), image, np.array([[1.0, 0.0]], np.float32))
    np.testing.assert_allclose(heat, [[[12 * 0.032, 0], [0, 0]]], atol=1e-6)
    # Target (0, 1): s = 0.8, ds/dm = ((0, 1) - 0.8 (0.6, 0.8)) / 5 = (-0.096, 0.072).
    heat = grad_cam(pooled_encoder(), image, np.array([[0.0, 1.0]], np.float32))
    np.testing.assert_allclose(heat, [[[0, 8 * 0.018], [8 * 0.018, 0]]], atol=1e-6)
    # The image's own embedding: no change makes them more alike.
    heat = grad_cam(pooled_encoder(), image, np.array([[0.6, 0.8]], np.float32))
    np.testing.assert_allclose(heat, 0, atol=1e-6)


def test_weights_follow_differences_of_the_similarity():
    encoder = conv4((16, 16, 3), embedding_dim=8, width=0.1)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    targets = rng.normal(size=(3, 8)).astype(np.float32)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    heat = grad_cam(encoder, images, targets, "conv4")
    assert heat.shape == (3, 4, 4)
    # The rest of the network, from conv4 on, and central differences of each channel as a whole.
    stage = encoder.get_layer("conv4").output
    maps = keras.Model(encoder.input, stage)(images, training=False).numpy().astype(np.float64)
    head = keras.Model(stage, encoder.output)
    step = 1e-2
    expected = np.zeros_like(heat)
    for channel in range(maps.shape[-1]):
        shift = np.zeros_like(maps)
        shift[..., channel] = step
        up, down = (head(maps + sign * shift).numpy() for sign in (1, -1))
        slope = ((up - down) * targets).sum(axis=1) / (2 * step)
        expected += (slope / 16)[:, None, None] * maps[..., channel]
    np.testing.assert_allclose(heat, np.maximum(expected, 0), atol=2e-3 * expected.max())


def test_an_encoder_without_named_stages_is_refused():
    inputs = keras.Input((2, 2, 3))
    other = keras.Model(
        inputs, layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1, name="c")(inputs))
    )
    with pytest.raises(ValueError, match="last such layer is c$"):
        last_stage(other)
    assert last_stage(conv4((8, 8, 3), width=0.1)) == "conv4"
