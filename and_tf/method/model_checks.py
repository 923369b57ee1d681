"""What `AND` cannot be made or trained with, said before it goes wrong."""

from __future__ import annotations

import os
import warnings
from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from and_tf.encoders.convolution import SAFE_CHANNELS, Conv2D, corrupts_memory

Bank = Literal["mirrored", "sharded"]
"""Whether every replica has the whole bank, or a part of it."""


def check_arguments(
    encoder: keras.Model,
    num_examples: int,
    temperature: float,
    bank_momentum: float,
    neighbours: int,
    bank: str,
) -> None:
    """Raise ValueError unless an `AND` can be made of its arguments."""
    if len(encoder.output_shape) != 2 or encoder.output_shape[-1] is None:
        raise ValueError(
            "The encoder must give one embedding [B, d] for each image, with d known. "
            f"Received: output shape {encoder.output_shape}"
        )
    if temperature <= 0:
        raise ValueError(f"The temperature must be above 0. Received: {temperature}")
    if not 0 <= bank_momentum < 1:
        raise ValueError(
            f"bank_momentum, the weight of the old row, must be in [0, 1). Received: {bank_momentum}"
        )
    if not 1 <= neighbours < num_examples:
        raise ValueError(
            "The number of neighbours must be at least 1 and less than the number of examples. "
            f"Received: neighbours={neighbours}, num_examples={num_examples}"
        )
    if bank not in get_args(Bank):
        raise ValueError(f'The bank must be "mirrored" or "sharded". Received: {bank!r}')


def check_convolutions(encoder: keras.Model) -> None:
    """Raise ValueError where training on a CPU would meet a kernel that corrupts memory."""
    if tf.config.get_visible_devices("GPU") or os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        return
    kinds = layers.Conv1D, layers.Conv2D, layers.Conv1DTranspose, layers.Conv2DTranspose
    for layer in encoder._flatten_layers():
        if not isinstance(layer, kinds) or isinstance(layer, Conv2D):
            continue
        channels = layer.kernel.shape[-2]  # of the larger map
        if corrupts_memory(layer.kernel_size, layer.strides, channels):
            raise ValueError(
                f"TensorFlow's kernel for the gradient of the layer {layer.name!r} can corrupt memory "
                f"on a CPU: a convolution of one pixel with a stride, over fewer than {SAFE_CHANNELS} "
                "channels. Take and_tf.encoders.convolution.Conv2D, which computes the same, or set "
                "TF_ENABLE_ONEDNN_OPTS=0 before TensorFlow is imported. "
                f"Received: strides={layer.strides}, {channels} channels"
            )


def check_training_data(x: Any, y: Any, num_examples: int) -> None:
    """Check what `fit` is given on one machine; a data set is checked step by step.

    Warns of pixels that seem to have been divided by 255.

    Raises:
        ValueError: Arrays without ids, or ids that are not unique integers in [0, N).
    """
    if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.size and x.max() <= 1:
        warnings.warn(
            "AND takes pixels as they are stored, 0 to 255; these are at most "
            f"{x.max():g}. Were they divided by 255?",
            stacklevel=3,  # where `fit` is called
        )
    if y is not None:
        check_indices(np.asarray(y), num_examples)
    elif isinstance(x, np.ndarray | tf.Tensor):
        raise ValueError(
            "fit(images, indices) needs the integer id of every image as its target, for "
            "instance np.arange(len(images)). Received: images alone"
        )


def check_indices(indices: np.ndarray, num_examples: int) -> None:
    """Raise ValueError unless every image has an id of its own, int in [0, N)."""
    if indices.dtype.kind not in "iu":
        raise ValueError(
            "fit(images, indices) needs the integer id of every image as its target, for instance "
            f"np.arange(len(images)). Received: targets of dtype {indices.dtype}"
        )
    wrong = indices[(indices < 0) | (indices >= num_examples)]
    if len(wrong):
        raise ValueError(
            f"Indices must be in [0, {num_examples}), the number of examples the model was made "
            f"with. Received: {len(wrong)} outside, the first {wrong.ravel()[0]}"
        )
    ids, counts = np.unique(indices, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            "Every image needs an index of its own: a bank row can take one update a step. "
            f"Received: {int((counts > 1).sum())} repeated, the first {ids[counts > 1][0]}"
        )


def index_assertions(indices: tf.Tensor, num_examples: int) -> list[tf.Operation]:
    """The same checks inside the graph, for indices that come from a data set."""
    return [
        tf.debugging.Assert(
            tf.reduce_all((indices >= 0) & (indices < num_examples)),
            [f"Indices must be in [0, {num_examples}). Received:", indices],
        ),
        tf.debugging.Assert(
            tf.size(tf.unique(indices).y) == tf.size(indices),
            ["Indices must not repeat in a batch. Received:", indices],
        ),
    ]
