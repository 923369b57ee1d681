"""A backbone of `keras.applications` or KerasHub as an encoder."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import layers

from and_tf.encoders.blocks import IMAGENET_MEAN, IMAGENET_STD, normalised_pixels, unit_embedding

MOMENTUM = 0.9
"""Of batch norm's averages: larger ones lag behind the weights, and predictions go astray."""


def from_backbone(
    backbone: keras.Model,
    embedding_dim: int = 128,
    normalise: bool | None = None,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    name: str | None = None,
) -> keras.Model:
    """An encoder for `and_tf.AND`: normalised pixels, the backbone, average pooling, the embedding.

    Takes pixels [B, H, W, 3] as stored (0 to 255) and gives unit vectors [B, embedding_dim], float32.
    The backbone becomes part of the encoder; its batch norm's momentum is lowered to 0.9, and it is
    synchronised where there are several replicas.

    Args:
        backbone: Functional, from images [B, H, W, 3] to features [B, F], [B, T, F] or [B, h, w, F],
            such as `keras.applications.ResNet50(include_top=False, input_shape=(224, 224, 3))` or
            `keras_hub.models.ViTBackbone(...)`.
        embedding_dim: d.
        normalise: Whether to scale pixels to 0-1 and to normalise them by `mean` and `std`. Default:
            unless the backbone has a layer that does, `Rescaling` or `Normalization`.
        mean: Of each channel, for pixels scaled to 0-1.
        std: Of each channel, likewise.
        name: Of the encoder. Default: the backbone's with "_encoder".

    Raises:
        ValueError: A backbone of other inputs or outputs.
    """
    shape = getattr(backbone, "output_shape", None)
    image_shape = getattr(backbone, "input_shape", (None,))
    if not (isinstance(shape, tuple) and len(shape) in (2, 3, 4) and shape[-1] is not None):
        raise ValueError(
            "The backbone must give features [B, F], [B, T, F] or [B, h, w, F], with F known. "
            f"Received: output shape {shape}"
        )
    if not (isinstance(image_shape, tuple) and len(image_shape) == 4 and image_shape[-1] == 3):
        raise ValueError(
            "The backbone must take images [B, H, W, 3], channels last. "
            f"Received: input shape {image_shape}"
        )
    every_layer = backbone._flatten_layers()
    scales = False
    for layer in every_layer:
        scales |= isinstance(layer, layers.Rescaling | layers.Normalization)
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = min(layer.momentum, MOMENTUM)
            layer.synchronized = tf.distribute.get_strategy().num_replicas_in_sync > 1
    if normalise is None:
        normalise = not scales
    if normalise:
        inputs, x = normalised_pixels(image_shape[1:], mean, std)
    else:
        inputs = x = keras.Input(image_shape[1:], name="pixels")
    if not isinstance(backbone, keras.Sequential):  # KerasHub's may take a dict of one
        x = keras.tree.pack_sequence_as(backbone.input, [x])
    x = backbone(x)
    if len(shape) == 4:
        x = layers.GlobalAveragePooling2D(data_format="channels_last", name="pool")(x)
    elif len(shape) == 3:
        x = layers.GlobalAveragePooling1D(data_format="channels_last", name="pool")(x)
    return keras.Model(
        inputs, unit_embedding(x, embedding_dim), name=name or f"{backbone.name}_encoder"
    )
