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
    """Turn each pixel's hue by `turns` [B, 1] of the colour circle; HSV value and saturation stay.

    A turn by a third hands each channel's plane to the next channel. What is left of the turn is at
    most a sixth, and in its sense only if green and blue, where it goes backwards, change places.
    """
    thirds = tf.round(3.0 * turns)
    sixths = 6.0 * turns - 2.0 * thirds
    backwards = sixths < 0.0
    red, green, blue = _turn_up_to_a_sixth(_exchanged(planes, backwards), tf.abs(sixths))
    red, green, blue = _exchanged((red, green, blue), backwards)
    once, twice = (tf.equal(tf.math.floormod(thirds, 3.0), count) for count in (1.0, 2.0))
    return (
        tf.where(once, blue, tf.where(twice, green, red)),
        tf.where(once, red, tf.where(twice, blue, green)),
        tf.where(once, green, tf.where(twice, red, blue)),
    )


def _exchanged(planes: Planes, chosen: tf.Tensor) -> Planes:
    red, green, blue = planes
    return red, tf.where(chosen, blue, green), tf.where(chosen, green, blue)


def _turn_up_to_a_sixth(planes: Planes, sixths: tf.Tensor) -> Planes:
    """Turn the hue from red towards green by 0 to 1 sixths of the circle [B, 1].

    On the way round, the middle channel moves to the extreme that it is heading for; the turn that
    is left then moves the channel that stood there. With the next channel n and the one after it,
    channel c becomes c - n + high - t spread where n >= its next one, and c - n + low + t spread
    elsewhere, never leaving low .. high: HSV's definition without its division.
    """
    red, green, blue = planes
    high = tf.maximum(tf.maximum(red, green), blue)
    low = tf.minimum(tf.minimum(red, green), blue)
    way = sixths * (high - low)

    def turned(own: tf.Tensor, following: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        extreme = tf.where(following >= last, high - way, low + way)
        return tf.minimum(tf.maximum(own - following + extreme, low), high)

    return turned(red, green, blue), turned(green, blue, red), turned(blue, red, green)


# ClipByValue is one kernel where tf.clip_by_value runs two.
def _pixel_clamp(plane: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.ClipByValue(t=plane, clip_value_min=0.0, clip_value_max=255.0)
