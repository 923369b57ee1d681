"""A four-layer convolutional encoder for demonstrations, tests and studies on two CPU cores."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from and_tf.encoders.blocks import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    check_shape,
    check_size,
    conv_bn_relu,
    normalised_pixels,
    scale_filters,
    unit_embedding,
)

# (filters, stride) of conv1 to conv4.
STAGES = ((32, 1), (64, 2), (128, 2), (128, 1))


def conv4(
    input_shape: Sequence[int] = (32, 32, 3),
    embedding_dim: int = 128,
    width: float = 1.0,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    name: str = "conv4",
) -> keras.Model:
    """Four 3x3 convolutions with batch norm and ReLU, average pooling to 2x2, the embedding.

    Takes pixels [B, H, W, 3] as stored (0 to 255, uint8 or float) of at least 5x5 and gives unit
    vectors [B, embedding_dim], float32. Layers `conv1` to `conv4` are the stages' activations.
    Raises ValueError for images too small and for arguments out of range.
    """
    input_shape = check_shape(input_shape)
    check_size(input_shape, 5, "conv4")
    inputs, x = normalised_pixels(input_shape, mean, std)
    for stage, (filters, stride) in enumerate(STAGES, start=1):
        x = conv_bn_relu(x, scale_filters(filters, width), 3, stride, name=f"conv{stage}")
    # Two windows of ceil(n/2), floor(n/2) apart, are adaptive pooling to two for any n.
    sides = x.shape[1:3]
    x = layers.AveragePooling2D(
        pool_size=tuple(-(-side // 2) for side in sides),
        strides=tuple(side // 2 for side in sides),
        name="pool",
    )(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(inputs, unit_embedding(x, embedding_dim), name=name)
