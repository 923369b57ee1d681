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
    return tf.add_n([weight * plane for weight, plane in zip(GREY, planes)])


def blend(planes: Planes, own: tf.Tensor, grey_part: tf.Tensor, mean_part: tf.Tensor) -> Planes:
    """own * pixel + grey_part * grey + mean_part * mean(grey), clamped to 0 .. 255.

    The three coefficients are [B, 1]. Brightness b is (b, 0, 0), contrast c (c, 0, 1 - c),
    saturation s (s, 1 - s, 0), grey (0, 1, 0), and (1, 0, 0) changes nothing.
    """
    greys = grey(planes)
    shift = grey_part * greys + mean_part * tf.reduce_mean(greys, axis=1, keepdims=True)
    return tuple(_pixel_clamp(own * plane + shift) for plane in planes)


def shift_hue(planes: Planes, turns: tf.Tensor) -> Planes:
    """Turn each pixel's hue by `turns` [B, 1] of the colour circle; HSV value and saturation stay."""
    red, green, blue = planes
    high = tf.maximum(tf.maximum(red, green), blue)
    low = tf.minimum(tf.minimum(red, green), blue)
    spread = high - low
    # The hue in sextants: red at 0, green at 2, blue at 4; anything, here 0, where there is none.
    hue = tf.where(
        high == red,
        tf.math.divide_no_nan(green - blue, spread),
        tf.where(
            high == green,
            2.0 + tf.math.divide_no_nan(blue - red, spread),
            4.0 + tf.math.divide_no_nan(red - green, spread),
        ),
    )
    hue += 6.0 * turns
    hue -= 6.0 * tf.floor(hue * (1.0 / 6.0))
    # A channel is at its highest within a sextant of its own hue, and falls in the next.
    return (
        high - spread * _unit_clamp(2.0 - tf.abs(hue - 3.0)),
        high - spread * _unit_clamp(tf.abs(hue - 2.0) - 1.0),
        high - spread * _unit_clamp(tf.abs(hue - 4.0) - 1.0),
    )


# ClipByValue is one kernel where tf.clip_by_value runs two.
def _pixel_clamp(plane: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.ClipByValue(t=plane, clip_value_min=0.0, clip_value_max=255.0)


def _unit_clamp(plane: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.ClipByValue(t=plane, clip_value_min=0.0, clip_value_max=1.0)
