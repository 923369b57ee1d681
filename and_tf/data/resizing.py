"""One image size for a whole data set: the evaluation convention of ImageNet."""

from __future__ import annotations

import tensorflow as tf

CROPPED_FROM = 64  # Smaller images are resized whole: at 32 pixels a border is worth keeping.


def resize(image: tf.Tensor, image_size: int | None) -> tf.Tensor:
    """Return an image, uint8 [H, W, 3], at image_size x image_size; None leaves it as it is.

    From 64 pixels on, the shorter side is brought to image_size * 256 / 224 and the centre is cut
    out (Resize(256) and CenterCrop(224), as in the authors' evaluation); below, the whole image is
    resized. Bilinear, antialiased.
    """
    if image_size is None:
        return image
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    if image_size >= CROPPED_FROM:
        shorter = round(image_size * 256 / 224)
        resized = tf.maximum(tf.math.floor(size * shorter / tf.reduce_min(size)), shorter)
    else:
        resized = tf.fill([2], float(image_size))
    margin = tf.round((resized - image_size) / 2)
    # One operation resizes and crops: the resized image is never stored, however long it is.
    image = tf.raw_ops.ScaleAndTranslate(
        images=image[tf.newaxis],
        size=[image_size, image_size],
        scale=resized / size,
        translation=-margin,
        kernel_type="triangle",
        antialias=True,
    )[0]
    image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
    return tf.ensure_shape(image, [image_size, image_size, 3])
