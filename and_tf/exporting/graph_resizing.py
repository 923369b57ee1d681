"""`and_tf.data.resizing` in TensorFlow's stock ops, so that a served image is that of the training."""

from __future__ import annotations

import tensorflow as tf

from and_tf.data.resizing import CROPPED_FROM, shorter_side


def resize_image(
    image: tf.Tensor, image_shape: tuple[int, int, int], image_size: int | None
) -> tf.Tensor:
    """An image at the size that the encoder takes: bilinear, antialiased, rounded to 8 bits.

    First the columns and then the rows are weighted, each result rounded, as Pillow's `Image.resize`
    computes it (Pillow, src/libImaging/Resample.c). A value on a half may differ by one, for Pillow
    computes in a fixed point of 22 bits. From version 13 on it takes the rows of tall images first,
    which rounds up to a quarter of the values the other way; none differs by more than two.

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

    def resized(starts: tf.Tensor, stops: tf.Tensor) -> tf.Tensor:
        x = _resample(tf.transpose(image, [1, 0, 2]), starts[1], stops[1], width)
        x = _resample(tf.transpose(x, [1, 0, 2]), starts[0], stops[0], height)
        return tf.ensure_shape(x, image_shape)

    if image_size is not None and image_size >= CROPPED_FROM:
        return resized(*_centre(size, image_size))
    whole = tf.zeros([2], tf.float64), tf.cast(size, tf.float64)
    keeps = tf.reduce_all(size == [height, width])
    return tf.ensure_shape(tf.cond(keeps, lambda: image, lambda: resized(*whole)), image_shape)


def _centre(size: tf.Tensor, image_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The box, (top, left) and (bottom, right), that the central square of the resized shows."""
    shorter = shorter_side(image_size)
    # Whole numbers, so that the quotient rounds down as Python's does.
    resized = tf.maximum(size * shorter // tf.reduce_min(size), shorter)
    old_over_new = tf.cast(size, tf.float64) / tf.cast(resized, tf.float64)
    start = tf.round(tf.cast(resized - image_size, tf.float64) / 2)
    box = (start * old_over_new, (start + image_size) * old_over_new)
    # Pillow takes its box in single precision.
    return tuple(tf.cast(tf.cast(edge, tf.float32), tf.float64) for edge in box)


def _resample(lines: tf.Tensor, start: tf.Tensor, stop: tf.Tensor, number: int) -> tf.Tensor:
    """`number` lines between two places, each the weighted mean of those that are near.

    Args:
        lines: uint8 [n, m, 3].
        start, stop: float64, where the first result begins and the last one ends, in lines.
        number: Of results.

    Returns:
        uint8 [number, m, 3].
    """
    shape = tf.shape(lines)
    scale = (stop - start) / number
    reach = tf.maximum(scale, 1.0)  # of the triangle of weights, to either side
    centres = start + (tf.range(number, dtype=tf.float64) + 0.5) * scale
    near = tf.range(2 * tf.math.ceil(reach) + 1, dtype=tf.float64)
    places = tf.floor(centres - reach)[:, tf.newaxis] + near
    weights = tf.maximum(1.0 - tf.abs(places + 0.5 - centres[:, tf.newaxis]) / reach, 0.0)
    last = tf.cast(shape[0] - 1, tf.float64)
    weights = tf.where((places >= 0) & (places <= last), weights, 0.0)
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)

    # Few weights are not zero: a dense product would take ten times as long.
    columns = tf.cast(tf.clip_by_value(places, 0.0, last), tf.int64)
    rows = tf.zeros_like(columns) + tf.range(number, dtype=tf.int64)[:, tf.newaxis]
    means = tf.sparse.sparse_dense_matmul(
        tf.SparseTensor(
            tf.reshape(tf.stack([rows, columns], axis=-1), [-1, 2]),
            tf.reshape(tf.cast(weights, tf.float32), [-1]),
            [number, tf.cast(shape[0], tf.int64)],
        ),
        tf.reshape(tf.cast(lines, tf.float32), [shape[0], shape[1] * 3]),
    )
    return tf.cast(tf.floor(tf.reshape(means, [number, shape[1], 3]) + 0.5), tf.uint8)
