"""Residual networks (He et al. 2016) that end in a unit embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
from keras import layers

from and_tf.encoders.blocks import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Stem,
    check_shape,
    check_size,
    check_stem,
    conv_bn,
    conv_bn_relu,
    normalised_pixels,
    scale_filters,
    unit_embedding,
)


def basic_block(x: keras.KerasTensor, filters: int, stride: int, *, name: str) -> keras.KerasTensor:
    """Two 3x3 convolutions; [B, H, W, C] to [B, H/stride, W/stride, filters], before the sum."""
    x = conv_bn_relu(x, filters, 3, stride, name=f"{name}_1")
    return conv_bn(x, filters, 3, name=f"{name}_2")


def bottleneck(x: keras.KerasTensor, filters: int, stride: int, *, name: str) -> keras.KerasTensor:
    """1x1, 3x3 and 1x1 convolutions to 4 x `filters` channels, before the sum.

    The stride is on the 3x3 convolution, as in torchvision, not on the first as in the paper.
    """
    x = conv_bn_relu(x, filters, 1, name=f"{name}_1")
    x = conv_bn_relu(x, filters, 3, stride, name=f"{name}_2")
    return conv_bn(x, 4 * filters, 1, name=f"{name}_3")


def residual(
    x: keras.KerasTensor, block: Callable, filters: int, stride: int, *, name: str, output: str
) -> keras.KerasTensor:
    """ReLU(block(x) + shortcut); the shortcut is a 1x1 projection where the shape changes.

    The layers are prefixed with `name`; the closing ReLU is called `output`.
    """
    branch = block(x, filters, stride, name=name)
    if stride != 1 or x.shape[-1] != branch.shape[-1]:
        x = conv_bn(x, branch.shape[-1], 1, stride, name=f"{name}_shortcut")
    x = layers.Add(name=f"{name}_add")([branch, x])
    return layers.ReLU(name=output)(x)


def _resnet(
    block: Callable,
    depths: Sequence[int],
    input_shape: Sequence[int],
    embedding_dim: int,
    width: float,
    mean: Sequence[float],
    std: Sequence[float],
    stem: Stem,
    name: str,
) -> keras.Model:
    input_shape = check_shape(input_shape)
    stem = check_stem(stem, input_shape)
    check_size(input_shape, 8 if stem == "small" else 32, f"{name} with the {stem} stem")
    inputs, x = normalised_pixels(input_shape, mean, std)
    filters = [scale_filters(base, width) for base in (64, 128, 256, 512)]
    if stem == "small":
        x = conv_bn_relu(x, filters[0], 3, name="conv1")
    else:
        x = conv_bn_relu(x, filters[0], 7, stride=2, name="stem")
        # The map is never negative after the ReLU, so a border of zeros never wins the maximum.
        x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
        x = layers.MaxPooling2D(3, strides=2, name="conv1")(x)
    for stage, depth in enumerate(depths, start=2):
        for number in range(1, depth + 1):
            x = residual(
                x,
                block,
                filters[stage - 2],
                stride=2 if stage > 2 and number == 1 else 1,
                name=f"conv{stage}_block{number}",
                output=f"conv{stage}" if number == depth else f"conv{stage}_block{number}",
            )
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, unit_embedding(x, embedding_dim), name=name)


def resnet18(
    input_shape: Sequence[int] = (32, 32, 3),
    embedding_dim: int = 128,
    width: float = 1.0,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    stem: Stem = "auto",
    name: str = "resnet18",
) -> keras.Model:
    """ResNet-18: basic blocks 2-2-2-2 of 64, 128, 256 and 512 filters, times `width`.

    Takes pixels [B, H, W, 3] as stored (0 to 255, uint8 or float) and gives unit vectors
    [B, embedding_dim], float32. The stem `small` is one 3x3 convolution (images of at least 8x8),
    `large` a 7x7 one at stride 2 and a max pool (at least 32x32); `auto` takes `large` where the
    shorter side is 64 pixels or more. Layer `conv1` is the stem's output, `conv2` to `conv5` the
    activations of the four groups: `keras.Model(encoder.input, encoder.get_layer("conv3").output)`.
    Raises ValueError for images too small and for arguments out of range.
    Source: He et al. 2016, table 1, and torchvision's definitions.
    """
    return _resnet(
        basic_block, (2, 2, 2, 2), input_shape, embedding_dim, width, mean, std, stem, name
    )


def resnet50(
    input_shape: Sequence[int] = (32, 32, 3),
    embedding_dim: int = 128,
    width: float = 1.0,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    stem: Stem = "auto",
    name: str = "resnet50",
) -> keras.Model:
    """ResNet-50: bottlenecks 3-4-6-3; otherwise as `resnet18`."""
    return _resnet(
        bottleneck, (3, 4, 6, 3), input_shape, embedding_dim, width, mean, std, stem, name
    )


def resnet101(
    input_shape: Sequence[int] = (32, 32, 3),
    embedding_dim: int = 128,
    width: float = 1.0,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    stem: Stem = "auto",
    name: str = "resnet101",
) -> keras.Model:
    """ResNet-101: bottlenecks 3-4-23-3; otherwise as `resnet18`."""
    return _resnet(
        bottleneck, (3, 4, 23, 3), input_shape, embedding_dim, width, mean, std, stem, name
    )
