"""Encoded images in the graph: decoded and resized as `and_tf.data.image_file` reads files."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from and_tf.data.resizing import shorter_side
from and_tf.exporting.exif import read_orientation, upright
from and_tf.exporting.graph_resizing import resize_image

DECODED_AT_ONCE = 16


def decode_images(
    image_bytes: tf.Tensor, image_shape: tuple[int, int, int], image_size: int | None
) -> tf.Tensor:
    """JPEG, PNG, BMP, WebP and GIF (the first frame), of any size, as the encoder takes them.

    Grey is repeated to three channels, transparency lies on white, and photographs are turned upright
    (EXIF in JPEG, PNG and WebP). What TensorFlow's decoders do not tell stays out: a PNG's single transparent
    colour, a BMP's alpha, and a GIF's transparency, which is black.

    Args:
        image_bytes: string [B].
        image_shape: (H, W, 3) of the encoder's images.
        image_size: Of the run's `data.image_size`; None where images kept their size.

    Returns:
        uint8 [B, H, W, 3]. Bytes that are no such image fail the whole call (INVALID_ARGUMENT).
    """

    def decoded(contents: tf.Tensor) -> tf.Tensor:
        image = tf.cond(
            tf.io.is_jpeg(contents),
            lambda: _jpeg(contents, max(image_shape[:2]), image_size),
            lambda: _other(contents),
        )
        return resize_image(upright(image, read_orientation(contents)), image_shape, image_size)

    return tf.map_fn(
        decoded,
        image_bytes,
        fn_output_signature=tf.TensorSpec(image_shape, tf.uint8),
        parallel_iterations=DECODED_AT_ONCE,
    )


def _jpeg(contents: tf.Tensor, longest_side: int, image_size: int | None) -> tf.Tensor:
    """A JPEG, uint8 [h, w, 3]; a half, a quarter or an eighth of what is much too large."""
    needed = 2 * (longest_side if image_size is None else shorter_side(image_size))
    too_large_by = tf.reduce_min(tf.io.extract_jpeg_shape(contents)[:2]) // needed

    def at(ratio: int) -> Callable[[], tf.Tensor]:
        # The accurate transform is what Pillow asks libjpeg for.
        return lambda: tf.io.decode_jpeg(
            contents, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE"
        )

    return tf.case(
        [(too_large_by >= ratio, at(ratio)) for ratio in (8, 4, 2)], default=at(1), exclusive=False
    )


def _other(contents: tf.Tensor) -> tf.Tensor:
    """PNG, WebP, BMP or the first frame of a GIF, uint8 [h, w, 3]."""
    is_bmp = tf.strings.substr(contents, 0, 2) == b"BM"
    # Of an animation TensorFlow 2.20 writes four channels where there is room for three.
    still = tf.debugging.Assert(
        ~_is_animated_webp(contents), ["An animated WebP cannot be decoded; send one of its frames"]
    )
    with tf.control_dependencies([still]):
        # With a number of channels asked for, WebP fails and a PNG's alpha may be wrong.
        pixels = tf.io.decode_image(contents, channels=0, expand_animations=False)
    pixels = tf.cond(is_bmp, lambda: _bmp_colours(contents, pixels), lambda: pixels)
    channels = tf.shape(pixels)[2]
    return tf.cond(
        channels % 2 == 0,
        lambda: _on_white(_three_channels(pixels[..., :-1]), pixels[..., -1:]),
        lambda: _three_channels(pixels),
    )


def _is_animated_webp(contents: tf.Tensor) -> tf.Tensor:
    """Whether the flags of an extended WebP say so (RFC 9649, section 2.7.1)."""

    def flag() -> tf.Tensor:
        extended = tf.strings.substr(contents, 8, 8) == b"WEBPVP8X"
        flags = tf.io.decode_raw(tf.strings.substr(contents, 20, 1), tf.uint8)[0]
        return extended & (flags & 2 > 0)

    return tf.cond(tf.strings.length(contents) > 20, flag, lambda: False)


def _three_channels(pixels: tf.Tensor) -> tf.Tensor:
    return tf.tile(pixels, [1, 1, 3 // tf.shape(pixels)[2]])


def _on_white(colours: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    opacity = tf.cast(alpha, tf.float32) / 255
    blended = tf.cast(colours, tf.float32) * opacity + 255 * (1 - opacity)
    return tf.cast(tf.floor(blended + 0.5), tf.uint8)


def _bmp_colours(contents: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """What TensorFlow makes of a BMP, its palette applied and its unused fourth channel left out."""

    def from_palette() -> tf.Tensor:
        # The palette, four bytes a colour, follows the file's header and one that tells its length.
        length = tf.io.decode_raw(tf.strings.substr(contents, 14, 4), tf.int32)[0]
        palette = tf.io.decode_raw(tf.strings.substr(contents, 14 + length, 4 * 256), tf.uint8)
        blue_green_red = tf.reshape(palette[: tf.size(palette) // 4 * 4], [-1, 4])[:, :3]
        return tf.gather(blue_green_red[:, ::-1], tf.cast(pixels[..., 0], tf.int32))

    return tf.cond(tf.shape(pixels)[2] == 1, from_palette, lambda: pixels[..., :3])
