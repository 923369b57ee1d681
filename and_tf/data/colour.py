"""Colour operations on the three planes of a batch of images, float32 in 0 to 255.

An image is a tuple of its red, green and blue planes [B, H*W]: plain two-dimensional tensors are
what TensorFlow's element-wise kernels are fastest on.
"""

from __future__ import annotations

import tensorflow as tf

Planes = tuple[tf.Tensor, tf.Tensor, tf.Tensor]

# Weights of red, green and blue in grey, as torchvision has them (ITU-R BT.601, rounded).
GREY = (0.2989, 0.587, 0.114)


def grey(planes: Planes) -> tf.Tensor:
    """The grey image, 0.2989 R + 0.587 G + 0.114 B, [B, H*W]."""
    return sum(weight * plane for weight, plane in zip(GREY, planes))


def blend(planes: Planes, own: tf.Tensor, grey_part: tf.Tensor, mean_part: tf.Tensor) -> Planes:
    """own * pixel + grey_part * grey + mean_part * mean(grey), clamped to 0 .. 255.

    The three coefficients are [B, 1]. Brightness b is (b, 0, 0), contrast c (c, 0, 1 - c),
    saturation s (s, 1 - s, 0), grey (0, 1, 0), and (1, 0, 0) changes nothing.
    """
    greys = grey(planes)
    shift = grey_part * greys + mean_part * tf.reduce_mean(greys, axis=1, keepdims=True)
    return tuple(clamp(own * plane + shift) for plane in planes)


def shift_hue(planes: Planes, turns: tf.Tensor) -> Planes:
    """Turn each pixel's hue by `turns` [B, 1] of the colour circle; HSV value and saturation stay.

    Of the sextants of the hue, red lies at 0, green at 2 and blue at 4; a channel is at the maximum
    up to one sextant from its own, and falls to the minimum within the next.
    """
    red, green, blue = planes
    high = tf.maximum(tf.maximum(red, green), blue)
    low = tf.minimum(tf.minimum(red, green), blue)
    spread = high - low
    sextant = tf.where(
        high == red,
        tf.math.divide_no_nan(green - blue, spread),
        tf.where(
            high == green,
            2.0 + tf.math.divide_no_nan(blue - red, spread),
            4.0 + tf.math.divide_no_nan(red - green, spread),
        ),
    )
    sextant += 6.0 * turns

    def channel(own: float) -> tf.Tensor:
        # Distance on the circle of six sextants, 0 to 3.
        distance = tf.abs(sextant - own)
        distance = tf.abs(distance - 6.0 * tf.round(distance * (1 / 6)))
        return high - spread * tf.raw_ops.ClipByValue(
            t=distance - 1.0, clip_value_min=0.0, clip_value_max=1.0
        )

    return channel(0.0), channel(2.0), channel(4.0)


def clamp(plane: tf.Tensor) -> tf.Tensor:
    # One kernel, where tf.clip_by_value runs two.
    return tf.raw_ops.ClipByValue(t=plane, clip_value_min=0.0, clip_value_max=255.0)
