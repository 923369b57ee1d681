"""Encoders against their networks computed step by step in NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from and_tf.encoders import conv4, resnet18, resnet50


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def naive_conv(x: np.ndarray, kernel: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """[B, H, W, C] with [k, k, C, F], zeros around all four sides."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    size = kernel.shape[0]
    rows = range(0, x.shape[1] - size + 1, stride)
    columns = range(0, x.shape[2] - size + 1, stride)
    out = np.empty((len(x), len(rows), len(columns), kernel.shape[3]))
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            window = x[:, top : top + size, left : left + size]
            out[:, i, j] = np.tensordot(window, kernel, axes=3)
    return out


def naive_batch_norm(x: np.ndarray, layer: keras.layers.Layer, training: bool) -> np.ndarray:
    gamma, beta, mean, variance = (w.astype("float64") for w in layer.get_weights())
    if training:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


class Naive:
    """An encoder's weights by layer name, applied in NumPy."""

    def __init__(self, encoder: keras.Model, training: bool) -> None:
        self.encoder, self.training = encoder, training

    def normalise(self, x: np.ndarray, mean: tuple, std: tuple) -> np.ndarray:
        return (x / 255.0 - np.array(mean)) / np.array(std)

    def conv_bn(self, x: np.ndarray, name: str, stride: int, padding: int) -> np.ndarray:
        kernel = self.encoder.get_layer(f"{name}_conv").get_weights()[0].astype("float64")
        x = naive_conv(x, kernel, stride, padding)
        return naive_batch_norm(x, self.encoder.get_layer(f"{name}_bn"), self.training)

    def embedding(self, x: np.ndarray) -> np.ndarray:
        kernel, bias = self.encoder.get_layer("embedding").get_weights()
        x = x @ kernel.astype("float64") + bias
        return x / np.linalg.norm(x, axis=1, keepdims=True)


def perturb_batch_norms(encoder: keras.Model) -> None:
    """Away from the initial 0 and 1, which would hide a mistake."""
    rng = np.random.default_rng(1)
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])


def adaptive_average(x: np.ndarray, cells: int) -> np.ndarray:
    """Cell i averages rows floor(i n / cells) to ceil((i + 1) n / cells), as torch does."""
    out = np.empty((x.shape[0], cells, cells, x.shape[3]))
    edges = [
        [(i * n // cells, -(-(i + 1) * n // cells)) for i in range(cells)] for n in x.shape[1:3]
    ]
    for i, (top, bottom) in enumerate(edges[0]):
        for j, (left, right) in enumerate(edges[1]):
            out[:, i, j] = x[:, top:bottom, left:right].mean((1, 2))
    return out


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(10, 12), (17, 11)])
def test_conv4_equals_a_naive_forward_pass(size: tuple[int, int], training: bool) -> None:
    mean, std = (0.3, 0.5, 0.6), (0.2, 0.25, 0.3)
    encoder = conv4((*size, 3), embedding_dim=7, width=0.25, mean=mean, std=std)
    perturb_batch_norms(encoder)
    pixels = images(3, *size, 3)
    naive = Naive(encoder, training)
    x = naive.normalise(pixels, mean, std)
    for stage, stride in enumerate((1, 2, 2, 1), start=1):
        x = np.maximum(naive.conv_bn(x, f"conv{stage}", stride, 1), 0)
    expected = naive.embedding(adaptive_average(x, 2).reshape(3, -1))
    got = encoder(pixels, training=training)
    np.testing.assert_allclose(got, expected, atol=2e-5)


def naive_resnet(encoder: keras.Model, x: np.ndarray, stem: str, depths: tuple) -> np.ndarray:
    naive = Naive(encoder, training=False)
    x = naive.normalise(x, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    if stem == "small":
        x = np.maximum(naive.conv_bn(x, "conv1", 1, 1), 0)
    else:
        x = np.maximum(naive.conv_bn(x, "stem", 2, 3), 0)
        x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
        x = windows[:, ::2, ::2].max((-2, -1))
    bottleneck = depths != (2, 2, 2, 2)
    for stage, depth in enumerate(depths, start=2):
        for number in range(1, depth + 1):
            name = f"conv{stage}_block{number}"
            stride = 2 if stage > 2 and number == 1 else 1
            # (convolution, stride, padding), torchvision's BasicBlock and Bottleneck.
            convs = (
                ((1, 1, 0), (2, stride, 1), (3, 1, 0))
                if bottleneck
                else ((1, stride, 1), (2, 1, 1))
            )
            branch = x
            for conv, conv_stride, padding in convs:
                branch = naive.conv_bn(branch, f"{name}_{conv}", conv_stride, padding)
                if conv != convs[-1][0]:
                    branch = np.maximum(branch, 0)
            if number == 1 and (bottleneck or stage > 2):
                x = naive.conv_bn(x, f"{name}_shortcut", stride, 0)
            x = np.maximum(branch + x, 0)
    return naive.embedding(x.mean((1, 2)))


@pytest.mark.parametrize(
    "build, size, stem, depths",
    [
        (resnet18, (9, 12), "small", (2, 2, 2, 2)),
        (resnet18, (35, 38), "large", (2, 2, 2, 2)),
        (resnet50, (8, 8), "small", (3, 4, 6, 3)),
    ],
)
def test_resnet_equals_a_naive_forward_pass(build, size, stem, depths) -> None:
    encoder = build((*size, 3), embedding_dim=5, width=0.05, stem=stem)
    perturb_batch_norms(encoder)
    pixels = images(2, *size, 3)
    expected = naive_resnet(encoder, pixels.astype("float64"), stem, depths)
    np.testing.assert_allclose(encoder(pixels), expected, atol=1e-4)
