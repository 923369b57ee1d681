"""One image size for a whole data set: the evaluation convention of ImageNet."""

from __future__ import annotations

import tensorflow as tf

CROPPED_FROM = 64  # Smaller images are resized whole: at 32 pixels a border is worth keeping.


def resize(images: tf.Tensor, image_size: int | None) -> tf.Tensor:
    """Return images, uint8 [B, H, W, 3], at image_size x image_size; None leaves them as they are.

    From 64 pixels on, the shorter side is brought to image_size * 256 / 224 and the centre is cut
    out (Resize(256) and CenterCrop(224), as in the authors' evaluation); below, the whole image is
    resized. Bilinear, antialiased.
    """
    if image_size is None:
        return images
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    if image_size >= CROPPED_FROM:
        shorter = round(image_size * 256 / 224)
        resized = tf.maximum(tf.math.floor(size * shorter / tf.reduce_min(size)), shorter)
    else:
        resized = tf.fill([2], float(image_size))
    margin = tf.round((resized - image_size) / 2)
    # One operation resizes and crops: the resized image is never stored, however long it is.
    images = tf.raw_ops.ScaleAndTranslate(
        images=images,
        size=[image_size, image_size],
        scale=resized / size,
        translation=-margin,
        kernel_type="triangle",
        antialias=True,
    )
    images = tf.cast(tf.clip_by_value(tf.round(images), 0, 255), tf.uint8)
    return tf.ensure_shape(images, [None, image_size, image_size, 3])
