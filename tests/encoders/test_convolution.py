"""Convolutions that take other kernels than Keras's, against Keras's own."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from and_tf.encoders import convolution
from and_tf.encoders.convolution import Conv2D, corrupts_memory, filter_gradient


def maps(*shape: int, seed: int = 0, dtype: str = "float32") -> tf.Tensor:
    return tf.cast(tf.random.stateless_normal(shape, (seed, 0)), dtype)


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "border"),
    [
        (4, 3, 1, 1),
        (8, 3, 1, 1),
        (5, 3, 1, 0),
        (9, 3, 2, 0),
        (10, 3, 2, 0),
        (8, 5, 3, 0),
        (6, 1, 2, 0),
    ],
)
def test_filter_gradient_is_tensorflows(side, kernel, stride, border):
    x = maps(6, side, side, 3)
    filters = maps(kernel, kernel, 3, 4, seed=1)
    padding = [[0, 0], [border, border], [border, border], [0, 0]]
    with tf.GradientTape() as tape:
        tape.watch(filters)
        y = tf.nn.conv2d(x, filters, stride, padding)
    upstream = maps(*y.shape, seed=2)
    expected = tape.gradient(y, filters, upstream)
    gradient = filter_gradient(x, upstream, filters.shape, (stride, stride), (border, border))
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


def outcome(layer: keras.layers.Layer, x: tf.Tensor, upstream: tf.Tensor) -> list[tf.Tensor]:
    """The layer's output, and its gradients to the inputs and the kernel."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    return [y, *tape.gradient(y, [x, layer.kernel.value], tf.cast(upstream, y.dtype))]


@pytest.mark.parametrize(("strides", "padding"), [(1, "same"), (1, "valid"), (2, "valid")])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_layer_computes_what_keras_does(monkeypatch, strides, padding, jit_compile):
    calls = []
    monkeypatch.setattr(
        convolution, "filter_gradient", lambda *a: calls.append(1) or filter_gradient(*a)
    )
    layer = Conv2D(5, 3, strides=strides, padding=padding, use_bias=False)
    reference = keras.layers.Conv2D(5, 3, strides=strides, padding=padding, use_bias=False)
    x = maps(6, 4, 4, 3)
    for one in (layer, reference):
        one.build(x.shape)
    reference.set_weights(layer.get_weights())
    upstream = maps(*reference(x, training=True).shape, seed=2)
    ours = tf.function(lambda: outcome(layer, x, upstream), jit_compile=jit_compile)()
    for one, expected in zip(ours, outcome(reference, x, upstream), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-4)
    assert calls


@pytest.mark.parametrize(
    ("side", "options", "training"),
    [
        (4, {}, False),
        (16, {}, True),
        (4, {"use_bias": True}, True),
        (4, {"strides": 2, "padding": "same"}, True),
        (4, {"kernel_size": 1}, True),
        (4, {"dtype": "mixed_float16"}, True),
    ],
)
def test_elsewhere_it_is_keras_own_layer(monkeypatch, side, options, training):
    monkeypatch.setattr(convolution, "filter_gradient", None)  # a call would fail
    options = {"kernel_size": 3, "padding": "same", "use_bias": False} | options
    layer = Conv2D(5, **options)
    with tf.GradientTape() as tape:
        y = layer(maps(2, side, side, 3), training=training)
    assert tape.gradient(y, layer.kernel.value) is not None


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    ("side", "strides", "padding"), [(8, 2, "valid"), (9, 2, "same"), (7, (1, 3), "valid")]
)
def test_a_stride_over_few_channels_is_cut_away_before(data_format, dtype, side, strides, padding):
    options = {"strides": strides, "padding": padding, "dtype": dtype}
    layer = Conv2D(5, 1, **options, data_format=data_format)
    reference = keras.layers.Conv2D(5, 1, **options)
    x = maps(3, side, side, 6)
    own_x = x if data_format == "channels_last" else tf.transpose(x, [0, 3, 1, 2])
    layer.build(own_x.shape)
    reference.build(x.shape)
    reference.set_weights(layer.get_weights())
    step = tf.function(lambda x: layer(x, training=True))
    strides_run = [
        set(operation.get_attr("strides"))
        for operation in step.get_concrete_function(own_x).graph.get_operations()
        if operation.type == "Conv2D"
    ]
    assert strides_run == [{1}]
    if data_format == "channels_last":  # TensorFlow runs the other on a GPU alone
        y = step(own_x)
        assert y.shape == layer.compute_output_shape(own_x.shape)
        np.testing.assert_array_equal(y, reference(x))


@pytest.mark.parametrize(
    ("kernel", "strides", "channels", "expected"),
    [
        ((1, 1), (2, 2), 15, True),
        ((1, 1), (1, 2), 1, True),
        ((1,), (2,), 3, True),
        ((1, 1), (2, 2), 16, False),
        ((1, 1), (1, 1), 3, False),
        ((3, 3), (2, 2), 3, False),
    ],
)
def test_which_gradients_corrupt_memory(kernel, strides, channels, expected):
    assert corrupts_memory(kernel, strides, channels) is expected


def test_config_round_trips():
    layer = Conv2D(5, 3, padding="same", use_bias=False)
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(copy) is Conv2D and copy.get_config() == layer.get_config()
