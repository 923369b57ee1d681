"""RandomResizedCrop: where each image is cut, and the cut resized to the image's own size."""

from __future__ import annotations

import math

import tensorflow as tf

from and_tf.data.compiling import compiled

TRIES = 10


def crop_boxes(
    uniforms: tf.Tensor,
    height: int | tf.Tensor,
    width: int | tf.Tensor,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Top, left, height and width of each example's crop, whole pixels as float32 [B].

    `uniforms` [B, 22] in [0, 1): areas of ten tries, aspect ratios of ten tries, top, left. The
    area is uniform in `scale` (a share of the image's), the ratio width / height log-uniform in
    `ratio`. The first try that fits is taken; where none does, the largest central crop whose ratio
    lies within `ratio`. Source: torchvision's RandomResizedCrop.
    """
    height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    log_ratio = (math.log(ratio[0]), math.log(ratio[1]))
    areas = height * width * _between(uniforms[:, :TRIES], *scale)
    ratios = tf.exp(_between(uniforms[:, TRIES : 2 * TRIES], *log_ratio))
    # tf.round rounds halves to even, as Python's round does.
    widths, heights = tf.round(tf.sqrt(areas * ratios)), tf.round(tf.sqrt(areas / ratios))
    fits = (widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height)
    first = tf.argmax(fits, axis=1)
    any_fits = tf.reduce_any(fits, axis=1)

    central_width = tf.where(width / height > ratio[1], tf.round(height * ratio[1]), width)
    central_height = tf.where(width / height < ratio[0], tf.round(width / ratio[0]), height)
    crop_width = tf.where(any_fits, tf.gather(widths, first, batch_dims=1), central_width)
    crop_height = tf.where(any_fits, tf.gather(heights, first, batch_dims=1), central_height)
    spare_height, spare_width = height - crop_height, width - crop_width
    top = tf.where(any_fits, _whole(uniforms[:, -2], spare_height), spare_height // 2)
    left = tf.where(any_fits, _whole(uniforms[:, -1], spare_width), spare_width // 2)
    return top, left, crop_height, crop_width


def positions(start: tf.Tensor, length: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Where along an axis pixels start .. start + length - 1 are read to make `size` of them.

    float32 [B, size], in pixels from the centre of the first, inside the crop: half-pixel centres,
    the crop's edge pixels continued outwards. `start` and `length` are float32 [B], whole.
    """
    size = tf.cast(size, tf.float32)
    start, length = start[:, None], length[:, None]
    centres = start + (tf.range(size) + 0.5) * (length / size)
    return tf.clip_by_value(centres - 0.5, start, start + length - 1.0)


def interpolate(lines: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Lines [B, n, m] of any type read at `places` [B, size] along n, float32 [B, size, m].

    Linear between neighbouring lines. A crop is never reduced, so that there is nothing to
    antialias: resizing one way and then the other is bilinear resizing.
    """
    low = tf.floor(places)
    first = tf.cast(low, tf.int32)
    second = tf.minimum(first + 1, tf.shape(lines)[1] - 1)
    first, second = (tf.gather(lines, chosen, batch_dims=1) for chosen in (first, second))
    return _mixed(first, second, (places - low)[:, :, None])


@compiled
def _mixed(first: tf.Tensor, second: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    first, second = tf.cast(first, tf.float32), tf.cast(second, tf.float32)
    return first + share * (second - first)


def _between(uniforms: tf.Tensor, low: float, high: float) -> tf.Tensor:
    return low + (high - low) * uniforms


def _whole(uniforms: tf.Tensor, largest: tf.Tensor) -> tf.Tensor:
    # The product can round up to largest + 1.
    return tf.minimum(tf.floor(uniforms * (largest + 1.0)), largest)
