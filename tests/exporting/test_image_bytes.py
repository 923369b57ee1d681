from __future__ import annotations

import functools
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from and_tf.data.image_file import read_image
from and_tf.exporting.image_bytes import decode_images
from benchmarks.photographs import photograph

RGB = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)
ALPHA = np.random.default_rng(1).integers(0, 256, (12, 9), np.uint8)


@functools.cache
def decoder(height: int, width: int, image_size: int | None):
    return tf.function(
        lambda files: decode_images(files, (height, width, 3), image_size),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )


def encoded(image: Image.Image | np.ndarray, file_format: str, **options) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def as_trained(contents: bytes, tmp_path, image_size: int | None = None) -> np.ndarray:
    (tmp_path / "image").write_bytes(contents)
    return read_image(tmp_path / "image", image_size).astype(int)


PALETTE = Image.fromarray(RGB).quantize(16)
FILES = {
    "png": encoded(RGB, "PNG"),
    "grey png": encoded(RGB[..., 0], "PNG"),
    "png with alpha": encoded(np.dstack([RGB, ALPHA]), "PNG"),
    "grey png with alpha": encoded(np.dstack([RGB[..., 0], ALPHA]), "PNG"),
    "png with a palette": encoded(PALETTE, "PNG"),
    "png with a transparent palette": encoded(PALETTE, "PNG", transparency=3),
    "bilevel png": encoded(RGB[..., 0] > 127, "PNG"),
    "16-bit png": encoded(RGB[..., 0].astype(np.uint16) * 257, "PNG"),
    "jpeg": encoded(RGB, "JPEG"),
    "grey jpeg": encoded(RGB[..., 0], "JPEG"),
    "progressive jpeg": encoded(RGB, "JPEG", progressive=True),
    "cmyk jpeg": encoded(Image.fromarray(RGB).convert("CMYK"), "JPEG"),
    "bmp": encoded(RGB, "BMP"),
    "bmp with a palette": encoded(PALETTE, "BMP"),
    "grey bmp": encoded(RGB[..., 0], "BMP"),
    "bmp with an unused channel": encoded(np.dstack([RGB, 0 * ALPHA]), "BMP"),
    "gif": encoded(PALETTE, "GIF"),
    "gif, first frame": encoded(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(180)]),
    "webp": encoded(RGB, "WEBP", lossless=True),
    "webp with alpha": encoded(np.dstack([RGB, ALPHA]), "WEBP", lossless=True),
}


@pytest.mark.parametrize("name", FILES)
def test_decodes_what_training_decodes(name, tmp_path):
    found = decoder(12, 9, None)([FILES[name]]).numpy()[0].astype(int)
    expected = as_trained(FILES[name], tmp_path)
    if name == "bmp with an unused channel":
        expected = RGB
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("size", [(60, 45), (300, 400), (1200, 900)])
@pytest.mark.parametrize("image_size", [32, 96])
def test_photographs_are_turned_and_reduced_as_in_training(size, image_size, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    contents = encoded(photograph(0, *size), "JPEG", exif=exif)
    found = decoder(image_size, image_size, image_size)([contents]).numpy()[0].astype(int)
    difference = np.abs(found - as_trained(contents, tmp_path, image_size))
    assert difference.max() <= 2 and difference.mean() < 0.25


def test_a_batch_is_its_images():
    files = list(FILES.values())
    together = decoder(20, 20, 20)(files).numpy()
    assert together.shape == (len(files), 20, 20, 3)
    for file, image in zip(files, together, strict=True):
        np.testing.assert_array_equal(decoder(20, 20, 20)([file])[0], image)
    assert decoder(20, 20, 20)(tf.constant([], tf.string)).shape == (0, 20, 20, 3)


def turned(file_format: str, **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(RGB, file_format, exif=exif, **options)


@pytest.mark.parametrize("contents", [turned("PNG"), turned("WEBP", lossless=True)])
def test_other_files_are_turned_as_in_training(contents, tmp_path):
    found = decoder(9, 12, None)([contents]).numpy()[0].astype(int)
    np.testing.assert_array_equal(found, as_trained(contents, tmp_path))


def test_an_animated_webp_is_refused():
    frames = [Image.fromarray(np.roll(RGB, n, axis=0)) for n in range(2)]
    contents = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(tf.errors.InvalidArgumentError, match="An animated WebP"):
        decoder(12, 9, None)([contents])


@pytest.mark.parametrize(
    "contents", [b"", b"no image", FILES["png"][:60], b"\xff\xd8\xff\xe0", b"BM"]
)
def test_what_is_no_image_is_an_invalid_argument(contents):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decoder(12, 9, None)([FILES["png"], contents])
