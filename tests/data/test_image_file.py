from __future__ import annotations

import zlib

import numpy as np
import pytest
from PIL import Image

from and_tf.data import image_file
from and_tf.data.image_file import UnreadableImageError, read_image, read_in_threads, read_size
from and_tf.data.resizing import resize_array
from benchmarks.photographs import photograph

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
ORIENTATION = 0x0112


def grey_as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


def save(path, image, **options):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tiff", "webp", "jp2"])
def test_lossless_formats(tmp_path, suffix):
    options = {"webp": {"lossless": True}, "jp2": {"irreversible": False}}.get(suffix, {})
    path = save(tmp_path / f"image.{suffix}", RGB, **options)
    np.testing.assert_array_equal(read_image(path), RGB)
    assert read_image(path).dtype == np.uint8
    assert read_size(path) == (6, 9)


@pytest.mark.parametrize("suffix", ["jpg", "avif", "gif"])
def test_lossy_formats(tmp_path, suffix):
    colour = np.full((16, 24, 3), [200, 100, 50], np.uint8)
    path = save(tmp_path / f"image.{suffix}", colour)
    np.testing.assert_allclose(read_image(path), colour, atol=4)


def test_the_name_does_not_matter(tmp_path):
    path = save(tmp_path / "image.txt", RGB, format="PNG")
    np.testing.assert_array_equal(read_image(path), RGB)


def test_grey_and_bilevel(tmp_path):
    grey = RGB[..., 0]
    np.testing.assert_array_equal(read_image(save(tmp_path / "l.png", grey)), grey_as_rgb(grey))
    bilevel = grey > 127
    expected = grey_as_rgb(bilevel * np.uint8(255))
    np.testing.assert_array_equal(read_image(save(tmp_path / "1.png", bilevel)), expected)


def test_transparency_lies_on_white(tmp_path):
    alpha = np.tile(np.array([0, 128, 255], np.uint8), (6, 3))
    share = alpha[..., None] / 255
    rgba = save(tmp_path / "rgba.png", np.dstack([RGB, alpha]))
    np.testing.assert_allclose(read_image(rgba), RGB * share + 255 * (1 - share), atol=1)
    la = Image.merge("LA", [Image.fromarray(RGB[..., 0]), Image.fromarray(alpha)])
    expected = grey_as_rgb(RGB[..., 0]) * share + 255 * (1 - share)
    np.testing.assert_allclose(read_image(save(tmp_path / "la.png", la)), expected, atol=1)


def test_palettes(tmp_path):
    palette = Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8))
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    colours = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])
    expected = colours[[[0, 1], [1, 2]]]
    path = save(tmp_path / "palette.png", palette)
    np.testing.assert_array_equal(read_image(path), expected)
    path = save(tmp_path / "transparent.png", palette, transparency=1)
    expected[0, 1] = expected[1, 0] = 255
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("values", [[0, 257, 1000, 32896, 65535], [0, 100, 200]])
def test_sixteen_bits(tmp_path, suffix, values):
    values = np.array([values], np.uint16)
    path = save(tmp_path / f"image.{suffix}", values)
    expected = grey_as_rgb(np.round(values / 257))
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize(
    "values, expected",
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([0.0, 257.0, 65535.0], [0, 1, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([1e6, 2e6, 3e6], [0, 128, 255]),
        ([-5.0, -5.0, -5.0], [0, 0, 0]),
    ],
)
def test_greys_without_a_scale(tmp_path, values, expected):
    path = save(tmp_path / "float.tiff", np.array([values], np.float32))
    np.testing.assert_array_equal(read_image(path), grey_as_rgb(np.array([expected])))


def test_integers_of_32_bits(tmp_path):
    path = save(tmp_path / "int.tiff", np.array([[0, 2**30, 2**31 - 1]], np.int32))
    np.testing.assert_array_equal(read_image(path), grey_as_rgb(np.array([[0, 128, 255]])))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_large_jpeg_is_decoded_reduced(tmp_path, monkeypatch, mode, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    large = photograph(3, 1200, 900).convert(mode)
    path = save(tmp_path / "large.jpg", large, exif=exif, quality=95)
    expected = resize_array(read_image(path), 64)
    found = read_image(path, 64)
    assert found.shape == (64, 64, 3)
    assert np.abs(found.astype(int) - expected).mean() < 2
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.draft", lambda *_: None)
    np.testing.assert_array_equal(read_image(path, 64), expected)
    assert not np.array_equal(found, expected)


def test_cmyk(tmp_path):
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    found = read_image(save(tmp_path / "cmyk.jpg", cmyk))
    np.testing.assert_allclose(found, np.full((16, 16, 3), [255, 0, 0]), atol=4)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize(
    "orientation, upright",
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: a.transpose(1, 0, 2)[:, ::-1]),
        (7, lambda a: a.transpose(1, 0, 2)[::-1, ::-1]),
        (8, lambda a: a.transpose(1, 0, 2)[::-1]),
        (99, lambda a: a),
    ],
)
def test_exif_orientation(tmp_path, suffix, orientation, upright):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = save(tmp_path / f"image.{suffix}", RGB, exif=exif)
    np.testing.assert_array_equal(read_image(path), upright(RGB))
    assert read_size(path) == upright(RGB).shape[:2]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_is_ignored(tmp_path):
    path = save(tmp_path / "image.png", RGB, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    np.testing.assert_array_equal(read_image(path), RGB)
    assert read_size(path) == (6, 9)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    path = save(tmp_path / "image.gif", frames[0], save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(path), np.full((8, 8, 3), [255, 0, 0]))


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "empty"),
        (b"hello, I am not an image", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "."),
    ],
)
def test_no_image(tmp_path, content, reason):
    path = tmp_path / "image.png"
    path.write_bytes(content)
    for read in (read_size, read_image):
        with pytest.raises(UnreadableImageError, match=reason):
            read(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "bmp", "webp"])
def test_truncated(tmp_path, suffix):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    path = save(tmp_path / f"image.{suffix}", noise)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableImageError):
        read_image(path)


def test_damaged_inside(tmp_path):
    path = save(tmp_path / "image.png", np.zeros((64, 64, 3), np.uint8))
    content = bytearray(path.read_bytes())
    data = content.index(b"IDAT") + 4
    content[data + 2 : data + 12] = b"\xff" * 10
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError):
        read_image(path)


def test_non_finite_pixels(tmp_path):
    path = save(tmp_path / "nan.tiff", np.array([[0, np.nan]], np.float32))
    with pytest.raises(UnreadableImageError, match="not finite"):
        read_image(path)


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_decompression_bombs(tmp_path, side):
    path = tmp_path / "bomb.png"
    header = side.to_bytes(4) * 2 + bytes([8, 2, 0, 0, 0])
    chunk = b"IHDR" + header
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
        + bytes(4) + b"IDAT" + zlib.crc32(b"IDAT").to_bytes(4)
    )  # fmt: skip
    for read in (read_size, read_image):
        (error,) = read_in_threads(read, [path])
        assert isinstance(error, UnreadableImageError)
        assert "pixels" in str(error)


def test_largest_size_is_read(tmp_path, monkeypatch):
    path = save(tmp_path / "image.png", RGB)
    monkeypatch.setattr(image_file, "MAX_PIXELS", 6 * 9)
    assert read_size(path) == (6, 9)
    monkeypatch.setattr(image_file, "MAX_PIXELS", 6 * 9 - 1)
    with pytest.raises(UnreadableImageError, match="9 x 6 pixels.*1 to 53"):
        read_size(path)


def test_missing_and_forbidden(tmp_path, monkeypatch):
    with pytest.raises(UnreadableImageError, match="no such file"):
        read_image(tmp_path / "missing.png")
    path = save(tmp_path / "image.png", RGB)

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)  # The superuser may read whatever chmod says.
    with pytest.raises(UnreadableImageError, match="permission denied"):
        read_image(path)


def test_threads_keep_the_order(tmp_path):
    paths = [save(tmp_path / f"{side}.png", Image.new("RGB", (side, 1))) for side in range(1, 30)]
    paths.insert(5, tmp_path / "missing.png")
    found = list(read_in_threads(read_size, paths))
    assert isinstance(found.pop(5), UnreadableImageError)
    assert found == [(1, side) for side in range(1, 30)]
