"""What `AND` cannot be made or trained with, said before it goes wrong."""

from __future__ import annotations

import functools
import operator
import os
import re
import warnings
from collections.abc import Callable, Iterator
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
    views: int,
    augment: Any,
) -> None:
    """Raise ValueError unless an `AND` can be made of its arguments."""
    shape = getattr(encoder, "output_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[-1] is None:
        raise ValueError(
            "The encoder must be a functional or Sequential model that gives one embedding [B, d] "
            f"for each image, with d known. Received: output shape {shape}"
        )
    try:
        operator.index(num_examples)
    except TypeError:
        message = f"num_examples must be a whole number. Received: {num_examples}"
        raise ValueError(message) from None
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
    if isinstance(augment, keras.Layer):
        raise ValueError(  # noqa: TRY004
            "augment is called as augment(images, indices, epochs, seed): take and_tf.Augment, or put a "
            f"Keras layer into the encoder, before all others. Received: {type(augment).__name__}"
        )
    if bank not in get_args(Bank):
        raise ValueError(f'The bank must be "mirrored" or "sharded". Received: {bank!r}')
    if views not in (1, 2):
        raise ValueError(f"An image has 1 or 2 views. Received: views={views!r}")
    if views == 2 and augment is None:
        raise ValueError(
            "Without augmentation the two views of an image are the same: give `augment`, such as "
            "and_tf.Augment(), or views=1. Received: views=2, augment=None"
        )


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


def with_float32_units(encoder: keras.Model) -> keras.Model:
    """The encoder, which must give unit vectors, with an output in float32.

    It embeds two images of noise, unless its last layer says that it normalises. Under a mixed policy
    its output may be rounded: it is normalised again in float32.

    Raises:
        ValueError: Its embeddings are not of length 1.
    """
    (output,) = encoder.outputs
    rounded = output.dtype != "float32"
    last = output._keras_history.operation
    if not isinstance(last, keras.layers.UnitNormalization) or last.axis not in (-1, 1):
        size = [side or _SIDE for side in encoder.input_shape[1:]]
        noise = np.random.default_rng(0).uniform(0, 255, (2, *size)).astype("float32")
        embeddings = tf.cast(encoder(noise, training=False), tf.float32)
        lengths = tf.norm(embeddings, axis=-1).numpy()
        if not (abs(lengths - 1) < (0.03 if rounded else 1e-3)).all():
            raise ValueError(
                "The encoder must give unit vectors: let it end with "
                "keras.layers.UnitNormalization(dtype='float32'). Received: embeddings of length "
                f"{lengths.min():g} to {lengths.max():g}"
            )
    if not rounded:
        return encoder
    units = keras.layers.UnitNormalization(dtype="float32", name="float32_units")(output)
    return keras.Model(encoder.inputs, units, name=encoder.name)


_SIDE = 224  # of the noise, where an encoder takes images of any size


def check_compile_options(**options: Any) -> None:
    """Raise ValueError where a loss or metrics are given: `AND` has its own, and would drop them."""
    for name, value in options.items():
        if value is not None:
            raise ValueError(
                f"AND has its own objective, and takes no `{name}`; and_tf.KNNEvaluation measures "
                f"accuracy. Received: {name}={value!r}"
            )


def wrong_ids(num_examples: int, received: str) -> str:
    """What is said of ids that cannot be trained on, however they come."""
    return (
        f"AND needs the id of every image as its target: an integer in [0, {num_examples}) of its "
        "own, not its class label. Give arrays as fit(images, np.arange(len(images))), and a "
        "tf.data.Dataset of images in one order as\n"
        "    numbered = images.enumerate().map(lambda id, image: (image, id))\n"
        "    model.fit(numbered.batch(128))\n"
        "To judge images that are not trained on, use and_tf.KNNEvaluation. "
        f"Received: {received}"
    )


def check_targets(x: Any, y: Any, num_examples: int) -> None:
    """Check the targets of arrays, all of them at once; a data set is checked step by step.

    Raises:
        ValueError: Arrays without ids, or ids that are not unique integers in [0, N).
    """
    if x is None:
        raise ValueError(
            "There are no images. The `images` of an and_tf.data.ImageSet that streams are None: give "
            "the set itself, as in fit(image_set, batch_size=128). Received: None"
        )
    if y is None:
        if isinstance(x, np.ndarray | tf.Tensor):
            raise ValueError(wrong_ids(num_examples, "images alone"))
        return
    ids = np.asarray(y)
    if ids.dtype.kind not in "iu":
        raise ValueError(wrong_ids(num_examples, f"targets of dtype {ids.dtype}"))
    wrong = ids[(ids < 0) | (ids >= num_examples)]
    if len(wrong):
        raise ValueError(wrong_ids(num_examples, f"{len(wrong)} outside, the first {wrong[0]}"))
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        repeated = f"{int((counts > 1).sum())} repeated, the first {values[counts > 1][0]}"
        raise ValueError(wrong_ids(num_examples, repeated))


def unpack(data: Any, num_examples: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Images and ids [B] of what a step is given.

    Raises:
        ValueError: No ids, ids that are not integers, or weights, which would have no effect.
    """
    images, ids, weights = keras.utils.unpack_x_y_sample_weight(data)
    if weights is not None:
        raise ValueError(
            "AND weighs all images alike, and takes neither `sample_weight` nor `class_weight`: leave "
            "images out instead, and number the others anew."
        )
    if ids is None:
        raise ValueError(wrong_ids(num_examples, "images alone"))
    images, ids = tf.convert_to_tensor(images), tf.convert_to_tensor(ids)
    if not ids.dtype.is_integer:
        raise ValueError(wrong_ids(num_examples, f"targets of dtype {ids.dtype.name}"))
    return images, tf.reshape(ids, [-1])


def ids_assertion(ids: tf.Tensor, num_examples: int) -> tf.Tensor:
    """In a graph, what `check_targets` makes sure of, for the ids [B] of a step.

    `in_own_words` says the same of it.
    """
    ids = tf.cast(ids, tf.int64)
    outside = (ids < 0) | (ids >= num_examples)
    values, _, counts = tf.unique_with_counts(ids)

    def received(wrong: tf.Tensor, how: str) -> tf.Tensor:
        return tf.strings.format(
            f"wrong ids: {{}} {how}, the first {{}}", [tf.size(wrong), wrong[0]]
        )

    def fail() -> tf.Tensor:
        message = tf.cond(
            tf.reduce_any(outside),
            lambda: received(tf.boolean_mask(ids, outside), "outside"),
            lambda: received(tf.boolean_mask(values, counts > 1), "repeated"),
        )
        with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
            return tf.constant(False)

    is_right = ~tf.reduce_any(outside) & tf.reduce_all(counts == 1)
    return tf.cond(is_right, lambda: tf.constant(True), fail)


def in_own_words(function: Callable, num_examples: int) -> Callable:
    """A function that takes a step, with the ValueError of `check_targets` for wrong ids."""

    @functools.wraps(function)
    def step(iterator: Iterator) -> Any:
        try:
            return function(iterator)
        except tf.errors.InvalidArgumentError as error:
            found = re.search(r"wrong ids: (.*?, the first -?\d+)", str(error))
            if found is None:
                raise
            message = wrong_ids(num_examples, found[1])
        raise ValueError(message)

    return step


def check_image_shape(shape: tf.TensorShape, encoder: keras.Model) -> None:
    """Raise ValueError unless images [B, H, W, C] are of the size that an encoder takes."""
    expected = list(encoder.input_shape)
    if shape.is_compatible_with([None, *expected[1:]]):
        return
    *_, channels = found = shape.as_list()
    if len(found) == 4 and found[1] == expected[-1] != channels:
        cure = "channels come last: np.moveaxis(images, 1, -1)"
    elif len(found) == 4 and channels == 4 == expected[-1] + 1:
        cure = "images[..., :3] leaves transparency out"
    elif channels in (1, *expected[1:3]) and expected[-1] == 3 and len(found) in (3, 4):
        cure = "and_tf.data.from_arrays(images).images has 3 channels for grey ones"
    elif len(found) == 3:
        cure = "images come in batches: image[np.newaxis] for one, dataset.batch(128)"
    else:
        cure = "resize them first"
    raise ValueError(
        f"The encoder takes images of the shape [B, {', '.join(map(str, expected[1:]))}]; {cure}. "
        f"Received: {found}"
    )


def of_image_shape(images: Any, encoder: keras.Model) -> tf.Tensor:
    """The images of a step, which must be of the size that an encoder takes.

    Once Keras has seen images of two sizes, a step knows none. Without this, layers would take any.
    """
    images = tf.convert_to_tensor(images)
    check_image_shape(images.shape, encoder)
    return tf.ensure_shape(images, encoder.input_shape)


def pixels_checked(images: tf.Tensor, warn: Callable[[float, float], bool]) -> tf.Tensor:
    """The images of a step; `warn` gets least and greatest of pixels that are not as stored.

    uint8 cannot be otherwise, and costs nothing here.
    """
    images = tf.convert_to_tensor(images)
    if images.dtype == tf.uint8:
        return images
    pixels = tf.cast(images, tf.float32)
    least, greatest = tf.reduce_min(pixels), tf.reduce_max(pixels)

    def said() -> tf.Tensor:
        return tf.numpy_function(warn, [least, greatest], tf.bool)

    is_dark = (tf.size(pixels) == 0) | (greatest == 0)
    as_stored = is_dark | ((greatest > 1) & (greatest <= 256))  # NaN is neither
    with tf.control_dependencies(
        [tf.cond((least >= 0) & as_stored, lambda: tf.constant(True), said)]
    ):
        return tf.identity(images)


def warn_of_pixels(least: float, greatest: float) -> bool:
    """Say that pixels are not as they are stored."""
    if not np.isfinite([least, greatest]).all():
        question = "Pixels that are not finite give embeddings that mean nothing: leave them out"
    elif greatest > 256:
        question = "Do they have 16 bits? Divide them by 257"
    else:
        question = "Were they divided by 255, or normalised already?"
    warnings.warn(
        "AND takes pixels as they are stored, 0 to 255: its encoder normalises them. These are from "
        f"{least:g} to {greatest:g}. {question}",
        stacklevel=2,
    )
    return True
