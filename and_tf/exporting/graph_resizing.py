"""`and_tf.data.resizing` in TensorFlow's stock ops, so that a served image is that of the training."""

from __future__ import annotations

import tensorflow as tf

from and_tf.data.resizing import CROPPED_FROM, shorter_side


def resize_image(
    image: tf.Tensor, image_shape: tuple[int, int, int], image_size: int | None
) -> tf.Tensor:
    """An image at the size that the encoder takes: bilinear, antialiased, rounded to 8 bits.

    Two matrix products, first along the rows and then along the columns, each rounded, as Pillow's
    `Image.resize` computes it (Pillow, src/libImaging/Resample.c). The weights are Pillow's up to
    its fixed point of 22 bits: a value that falls on a half may differ by one.

    Args:
        image: uint8 [h, w, 3], of any size.
        image_shape: (H, W, 3) of the result.
        image_size: As in `and_tf.data.resizing.resize`; None, the whole image is brought to
            `image_shape`, where it has another size.

    Returns:
        uint8 [H, W, 3].
    """
    height, width = image_shape[:2]
    size = tf.shape(image)[:2]
    cropped = image_size is not None and image_size >= CROPPED_FROM
    starts, stops = _centre(size, image_size) if cropped else (tf.zeros([2], tf.float64), size)
    stops = tf.cast(stops, tf.float64)

    def resized() -> tf.Tensor:
        along_rows = _weights(size[1], starts[1], stops[1], width)
        along_columns = _weights(size[0], starts[0], stops[0], height)
        x = tf.reshape(tf.transpose(image, [0, 2, 1]), [size[0] * 3, size[1]])
        x = _rounded(tf.matmul(tf.cast(x, tf.float32), along_rows, transpose_b=True))
        x = _rounded(tf.matmul(along_columns, tf.reshape(x, [size[0], 3 * width])))
        return tf.cast(tf.transpose(tf.reshape(x, [height, 3, width]), [0, 2, 1]), tf.uint8)

    if cropped:
        return tf.ensure_shape(resized(), image_shape)
    keeps = tf.reduce_all(size == [height, width])
    return tf.ensure_shape(tf.cond(keeps, lambda: image, resized), image_shape)


def _centre(size: tf.Tensor, image_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The box, (top, left) and (bottom, right), that the central square of the resized shows."""
    shorter = shorter_side(image_size)
    # Whole numbers, so that the quotient rounds down as Python's does.
    resized = tf.maximum(size * shorter // tf.reduce_min(size), shorter)
    old_over_new = tf.cast(size, tf.float64) / tf.cast(resized, tf.float64)
    start = tf.round(tf.cast(resized - image_size, tf.float64) / 2)
    return start * old_over_new, (start + image_size) * old_over_new


def _weights(old: tf.Tensor, start: tf.Tensor, stop: tf.Tensor, new: int) -> tf.Tensor:
    """How much each of `old` pixels counts for each of `new` ones, float32 [new, old]."""
    scale = (stop - start) / new
    centres = start + (tf.range(new, dtype=tf.float64) + 0.5) * scale
    places = tf.cast(tf.range(old), tf.float64) + 0.5
    distances = tf.abs(places - centres[:, tf.newaxis]) / tf.maximum(scale, 1.0)
    triangle = tf.maximum(1.0 - distances, 0.0)
    return tf.cast(triangle / tf.reduce_sum(triangle, axis=1, keepdims=True), tf.float32)


def _rounded(values: tf.Tensor) -> tf.Tensor:
    return tf.floor(values + 0.5)
