"""AlexNet (Krizhevsky et al. 2012) with batch norm, ending in a unit embedding."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from and_tf.encoders.blocks import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Stem,
    check_shape,
    check_size,
    check_stem,
    conv_bn_relu,
    normalised_pixels,
    scale_filters,
    unit_embedding,
)

FILTERS = (96, 256, 384, 384, 256)
POOLED_STAGES = (1, 2, 5)


def alexnet(
    input_shape: Sequence[int] = (32, 32, 3),
    embedding_dim: int = 128,
    width: float = 1.0,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    stem: Stem = "auto",
    name: str = "alexnet",
) -> keras.Model:
    """AlexNet's five convolutions, 96-256-384-384-256 filters times `width`, with batch norm.

    Takes pixels [B, H, W, 3] as stored (0 to 255, uint8 or float) and gives unit vectors
    [B, embedding_dim], float32: the embedding stands straight on the flattened last map, without
    the two wide dense layers of the classifier.

    `large` is the network for 224 pixels as used in self-supervised probes: 11x11 at stride 4 and
    5x5 kernels first, max pools of 3 at stride 2 (images of at least 63x63). `small`, for 32
    pixels, has 3x3 kernels and max pools of 2 (at least 8x8). The paper's authors never released
    their 32-pixel AlexNet: `small` is this project's own, so its numbers are not theirs.
    `auto` takes `large` where the shorter side is 64 pixels or more.

    Layers `conv1` to `conv5` are the stages' activations, before any pool.
    Raises ValueError for images too small and for arguments out of range.
    """
    input_shape = check_shape(input_shape)
    stem = check_stem(stem, input_shape)
    check_size(input_shape, 8 if stem == "small" else 63, f"alexnet with the {stem} stem")
    inputs, x = normalised_pixels(input_shape, mean, std)
    pool_size = 2 if stem == "small" else 3
    for stage, base in enumerate(FILTERS, start=1):
        kernel, stride, padding = 3, 1, 1
        if stem == "large" and stage == 1:
            kernel, stride, padding = 11, 4, 2
        elif stem == "large" and stage == 2:
            kernel, padding = 5, 2
        filters = scale_filters(base, width)
        x = conv_bn_relu(x, filters, kernel, stride, padding, name=f"conv{stage}")
        if stage in POOLED_STAGES:
            x = layers.MaxPooling2D(pool_size, strides=2, name=f"pool{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(inputs, unit_embedding(x, embedding_dim), name=name)
