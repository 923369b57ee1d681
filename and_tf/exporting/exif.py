"""Turning photographs upright in the graph, as their EXIF data says."""

from __future__ import annotations

import tensorflow as tf

SEARCHED = 4096  # bytes of a file; the EXIF segment comes first or second
MOST_ENTRIES = 64
ORIENTATION = 0x0112
MIRRORED = (2, 3, 6, 7)  # left and right change places, after any transposition
OVERTURNED = (3, 4, 7, 8)  # top and bottom do
TRANSPOSED = (5, 6, 7, 8)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """An image as it is to be seen.

    Args:
        image: [H, W, C].
        orientation: int32, EXIF's 1 (upright) to 8.

    Returns:
        [H, W, C], or [W, H, C] where the photograph lies on its side.
    """

    def is_in(values: tuple[int, ...]) -> tf.Tensor:
        return tf.reduce_any(orientation == values)

    def turned() -> tf.Tensor:
        x = tf.cond(is_in(TRANSPOSED), lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        dims = tf.stack([is_in(OVERTURNED), is_in(MIRRORED), False])
        return tf.raw_ops.Reverse(tensor=x, dims=dims)

    return tf.cond(orientation == 1, lambda: image, turned)


def read_orientation(contents: tf.Tensor) -> tf.Tensor:
    """The orientation that a JPEG's EXIF data gives, int32 1 to 8; 1 where it gives none.

    Args:
        contents: string, a JPEG.

    Source: CIPA DC-008 (Exif 2.32), sections 4.5.2, 4.6.2 and 4.6.5 (tag 0x0112).
    """
    size = tf.minimum(tf.strings.length(contents), SEARCHED)
    head = tf.cast(tf.io.decode_raw(tf.strings.substr(contents, 0, size), tf.uint8), tf.int32)
    # The marker of the segment, its length (two bytes, any), "Exif" and two zeros.
    marker, name = (0xFF, 0xE1), b"Exif\0\0"
    starts = tf.maximum(size - 10, 0)
    matches = [
        head[offset : offset + starts] == byte
        for offset, byte in (*enumerate(marker), *enumerate(name, start=4))
    ]
    places = tf.where(tf.reduce_all(matches, axis=0))[:, 0]

    def found() -> tf.Tensor:
        return _orientation_of(head, tf.cast(places[0], tf.int32) + 10)

    return tf.cond(tf.size(places) > 0, found, lambda: tf.constant(1))


def _orientation_of(head: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """The orientation in the TIFF structure that begins at `start`."""
    little_endian = head[start] == ord("I")

    def number(places: tf.Tensor, size: int = 2) -> tf.Tensor:
        digits = tf.range(size)
        digits = tf.where(little_endian, digits, size - 1 - digits)
        places = tf.clip_by_value(places[..., tf.newaxis] + tf.range(size), 0, tf.size(head) - 1)
        return tf.reduce_sum(tf.gather(head, places) * 256**digits, axis=-1)

    directory = start + number(start + 4, size=4)
    entries = directory + 2 + 12 * tf.range(tf.minimum(number(directory), MOST_ENTRIES))
    values = tf.where(number(entries) == ORIENTATION, number(entries + 8), 0)
    value = tf.reduce_max(tf.concat([values, [0]], 0))
    return tf.where((value >= 1) & (value <= 8), value, 1)
