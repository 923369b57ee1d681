"""Turning photographs upright in the graph, as their EXIF data says."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

LONGEST = 1 << 16  # bytes of EXIF data; a JPEG's segment has no more
MOST_ENTRIES = 64
END = 1 << 40  # further than any file goes
NONE = -1
HEADER = 12  # bytes that tell what a segment or chunk is; EXIF data makes each longer than that
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
    """The orientation that EXIF data gives, int32 1 to 8; 1 where it gives none.

    Args:
        contents: string, a JPEG, PNG or WebP; anything else gives 1.

    Source: CIPA DC-008 (Exif 2.32), sections 4.5.2, 4.6.2 and 4.6.5 (tag 0x0112); PNG (W3C) 11.3.3.5;
    RFC 9649, section 2.7.1.5.
    """
    first = tf.strings.substr(contents, 0, 2)
    is_kind = tf.stack([first == magic for magic in (b"\xff\xd8", b"\x89P", b"RI")])
    kind = tf.argmax(is_kind)
    name = tf.gather([b"Exif\0\0", b"eXIf", b"EXIF"], kind)
    # Most files do not hold the name anywhere, and need no walk.
    pieces = tf.raw_ops.StringSplitV2(input=[contents], sep=name, maxsplit=1).values
    may_have = tf.reduce_any(is_kind) & (tf.size(pieces) > 1)
    return tf.cond(may_have, lambda: _found_by_steps(contents, kind), lambda: tf.constant(1))


def _found_by_steps(contents: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """Goes from segment to segment, or from chunk to chunk, to the first with EXIF data."""
    size = tf.cast(tf.strings.length(contents), tf.int64)

    def go_on(at: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
        return (found < 0) & (at + HEADER <= size)

    def one(at: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        header = tf.io.decode_raw(tf.strings.substr(contents, at, HEADER), tf.uint8)
        header = tf.cast(tf.ensure_shape(header, [HEADER]), tf.int64)
        steps = [_jpeg_segment(header), _png_chunk(header), _webp_chunk(header)]
        length, data = tf.unstack(tf.gather(tf.stack(steps), kind))
        return at + length, tf.where(data < 0, data, at + data)

    start = tf.gather(tf.constant([2, 8, 12], tf.int64), kind)
    _, found = tf.while_loop(go_on, one, [start, tf.constant(-1, tf.int64)])

    def read() -> tf.Tensor:
        data = tf.strings.substr(contents, found, LONGEST)
        # In a JPEG always; some programs write it into the others, too.
        is_named = tf.strings.substr(data, 0, 6) == b"Exif\0\0"
        head = tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int32)
        return _orientation_of(head, tf.where(is_named, 6, 0))

    return tf.cond(found < 0, lambda: tf.constant(1), read)


# Each gives, from a segment's or chunk's first bytes, int64 [HEADER]: how many bytes further the next
# one begins, and where the EXIF data of this one does, -1 for one that has none.


def _jpeg_segment(header: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    marker = header[1]
    # Bytes of value 255 may stand before a marker. The coded image ends the walk.
    is_over = (header[0] != 0xFF) | (marker == 0xDA) | (marker == 0xD9)
    length = _where(marker == 0xFF, 1, 2 + _number(header[2:4]))
    has_exif = (marker == 0xE1) & _spells(header[4:10], b"Exif\0\0")
    return _where(is_over, END, length), _where(~is_over & has_exif, 4, NONE)


def _png_chunk(header: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return 12 + _number(header[:4]), _where(_spells(header[4:8], b"eXIf"), 8, NONE)


def _webp_chunk(header: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    length = _number(header[7:3:-1])
    return 8 + length + length % 2, _where(_spells(header[:4], b"EXIF"), 8, NONE)


def _where(condition: tf.Tensor, one: Any, other: Any) -> tf.Tensor:
    return tf.where(condition, tf.cast(one, tf.int64), tf.cast(other, tf.int64))


def _number(digits: tf.Tensor) -> tf.Tensor:
    """The number that bytes make, the first of them the highest."""
    powers = 256 ** tf.range(digits.shape[0] - 1, -1, -1, tf.int64)
    return tf.reduce_sum(digits * powers)


def _spells(header: tf.Tensor, name: bytes) -> tf.Tensor:
    return tf.reduce_all(header == tf.constant(list(name), tf.int64))


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
