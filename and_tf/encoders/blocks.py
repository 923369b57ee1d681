"""The pieces every encoder is made of: pixels in, convolution blocks, unit embedding out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import keras
from keras import layers

from and_tf.encoders.batch_norm import BatchNormalization
from and_tf.encoders.convolution import Conv2D

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Stem = Literal["auto", "small", "large"]
"""`small` keeps the resolution of 32-pixel images, `large` reduces that of 224-pixel ones."""

LARGE_STEM_SIDE = 64
"""The shorter side, in pixels, from which `stem="auto"` takes the large stem."""


def check_stem(stem: Stem, input_shape: Sequence[int]) -> Literal["small", "large"]:
    """The stem to build for images of `input_shape` (height, width, channels).

    Raises ValueError for an unknown `stem`.
    """
    if stem not in ("auto", "small", "large"):
        raise ValueError(f'`stem` must be "auto", "small" or "large". Received: {stem!r}')
    if stem == "auto":
        return "large" if min(input_shape[:2]) >= LARGE_STEM_SIDE else "small"
    return stem


def check_shape(input_shape: Sequence[int]) -> tuple[int, int, int]:
    """`input_shape` as (height, width, 3). Raises ValueError where it is not that."""
    try:
        height, width, channels = map(int, input_shape)
        whole = (height, width, channels) == tuple(input_shape)
        valid = whole and min(height, width) >= 1 and channels == 3
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise ValueError(
            "`input_shape` must be (height, width, 3), all known; repeat grey images to three "
            f"channels. Received: {input_shape!r}"
        )
    return height, width, channels


def check_size(input_shape: Sequence[int], minimum: int, network: str) -> None:
    """Raise ValueError where images are smaller than `minimum` pixels on a side."""
    if min(input_shape[:2]) < minimum:
        raise ValueError(
            f"{network} needs images of at least {minimum}x{minimum} pixels; use larger images or "
            f"another encoder or stem. Received: input_shape={tuple(input_shape)}"
        )


def scale_filters(filters: int, width: float) -> int:
    """`filters` x `width`: at least 1, and the nearest multiple of 8 from 8 upwards."""
    if isinstance(width, bool) or not isinstance(width, (int, float)) or not 0 < width < math.inf:
        raise ValueError(f"`width` must be a positive number. Received: {width!r}")
    scaled = filters * width
    if scaled < 8:
        return max(1, round(scaled))
    return 8 * round(scaled / 8)


def normalised_pixels(
    input_shape: Sequence[int], mean: Sequence[float], std: Sequence[float]
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The network's input and, from it, (pixels / 255 - mean) / std.

    The input is [B, H, W, 3], 0 to 255, uint8 or any float; `mean` and `std` are on the 0 to 1
    scale, a value a channel. The result is float32 whatever the compute dtype.
    Raises ValueError where `mean` or `std` are not three finite numbers, or a `std` is not > 0.
    """
    for label, values in (("mean", mean), ("std", std)):
        try:
            valid = len(values) == 3 and all(math.isfinite(value) for value in values)
        except TypeError:
            valid = False
        if not valid or (label == "std" and min(values) <= 0):
            bound = " above 0" if label == "std" else ""
            raise ValueError(
                f"`{label}` must be three finite numbers{bound}, one a channel, for pixels scaled "
                f"to 0-1. Received: {values!r}"
            )
    inputs = keras.Input(shape=tuple(input_shape), name="pixels")
    normalise = layers.Rescaling(
        scale=[1.0 / (255.0 * s) for s in std],
        offset=[-m / s for m, s in zip(mean, std)],
        dtype="float32",
        name="normalise",
    )
    return inputs, normalise(inputs)


def conv_bn(
    x: keras.KerasTensor,
    filters: int,
    kernel: int,
    stride: int = 1,
    padding: int | None = None,
    *,
    name: str,
) -> keras.KerasTensor:
    """A convolution without bias and its batch norm, [B, H, W, C] to [B, H', W', filters].

    `padding` pixels on every side (default kernel // 2), as torch pads: TensorFlow's "same" pads a
    strided convolution on one side only. Kernels start uniform in +-1/sqrt(fan-in), torch's default
    and so the authors': under batch norm the size of the weights sets how fast they turn, and He's
    initialisation, about twice as large, falls far behind in a round of few steps.
    """
    padding = kernel // 2 if padding is None else padding
    # At stride 1 "same" pads alike on both sides, and saves a copy of the map.
    same = stride == 1 and 2 * padding == kernel - 1
    if padding and not same:
        x = layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    x = Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same" if same else "valid",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(
            1 / 3, mode="fan_in", distribution="uniform"
        ),
        name=f"{name}_conv",
    )(x)
    return BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)


def conv_bn_relu(
    x: keras.KerasTensor,
    filters: int,
    kernel: int,
    stride: int = 1,
    padding: int | None = None,
    *,
    name: str,
) -> keras.KerasTensor:
    """`conv_bn` and a ReLU; the ReLU bears `name` itself, so that it stands for the stage."""
    x = conv_bn(x, filters, kernel, stride, padding, name=name)
    return layers.ReLU(name=name)(x)


def unit_embedding(x: keras.KerasTensor, embedding_dim: int) -> keras.KerasTensor:
    """Features [B, F] to embeddings [B, embedding_dim] of length 1, in float32.

    A dense layer, weights and biases uniform in +-1/sqrt(F) at the start, then L2 normalisation.
    """
    if isinstance(embedding_dim, bool) or not isinstance(embedding_dim, int) or embedding_dim < 1:
        raise ValueError(f"`embedding_dim` must be a positive integer. Received: {embedding_dim!r}")
    limit = 1.0 / math.sqrt(x.shape[-1])
    x = layers.Dense(
        embedding_dim,
        kernel_initializer=keras.initializers.RandomUniform(-limit, limit),
        bias_initializer=keras.initializers.RandomUniform(-limit, limit),
        dtype="float32",
        name="embedding",
    )(x)
    return layers.UnitNormalization(dtype="float32", name="unit_embedding")(x)
