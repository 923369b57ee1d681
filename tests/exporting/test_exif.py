from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from and_tf.exporting.exif import read_orientation, upright

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8))


def encoded(
    orientation: int | None = None,
    endian: str = "<",
    before: int = 0,
    file_format: str = "JPEG",
    **options: Any,
) -> bytes:
    exif = Image.Exif()
    exif.endian = endian
    for tag in range(0x0100, 0x0100 + before):
        exif[tag] = 1
    exif[0x010F] = "a camera"
    if orientation is not None:
        exif[0x0112] = orientation
    file = io.BytesIO()
    IMAGE.save(file, file_format, exif=exif, **options)
    return file.getvalue()


def without_exif(file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    IMAGE.save(file, file_format, **options)
    return file.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff_of(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes().removeprefix(b"Exif\0\0")


def far_back_in_jpeg(orientation: int) -> bytes:
    """Behind a profile of 300 kB, a segment that only speaks of EXIF, and fill bytes."""
    plain = without_exif("JPEG", icc_profile=bytes(300_000))
    at = plain.index(b"\xff\xdb")
    comment = b"\xff\xfe\0\x14Exif\0\0\xff\xe1 Exif\0\0 MM"
    data = b"Exif\0\0" + tiff_of(orientation)
    segment = b"\xff\xff\xff\xe1" + struct.pack(">H", len(data) + 2) + data
    return plain[:at] + comment + segment + plain[at:]


def last_in_png(orientation: int) -> bytes:
    plain = without_exif("PNG")
    end = plain.index(b"IEND") - 4
    comment = png_chunk(b"tEXt", b"Comment\0an eXIf chunk")
    return plain[:end] + comment + png_chunk(b"eXIf", tiff_of(orientation)) + plain[end:]


def named_in_webp(orientation: int) -> bytes:
    return encoded(orientation, file_format="WEBP", icc_profile=b"EXIF" * 1001 + b"x")


FILES = {
    "jpeg, far back": far_back_in_jpeg,
    "png": lambda orientation: encoded(orientation, file_format="PNG"),
    "png, last": last_in_png,
    "webp": lambda orientation: encoded(orientation, file_format="WEBP"),
    "lossless webp": lambda orientation: encoded(orientation, file_format="WEBP", lossless=True),
    "webp behind a profile": named_in_webp,
}


@pytest.mark.parametrize("orientation", [1, 6, 8])
@pytest.mark.parametrize("name", FILES)
def test_found_wherever_it_stands(name, orientation):
    contents = FILES[name](orientation)
    assert Image.open(io.BytesIO(contents)).getexif()[0x0112] == orientation
    assert int(read_orientation(contents)) == orientation


def test_what_follows_the_image_is_not_of_it():
    assert int(read_orientation(without_exif("JPEG") + encoded(6))) == 1


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_as_pillow_does(orientation, endian):
    contents = encoded(orientation, endian, before=3)
    assert int(read_orientation(contents)) == orientation
    turned = IMAGE.copy()
    turned.getexif()[0x0112] = orientation
    expected = np.array(ImageOps.exif_transpose(turned))
    found = upright(tf.constant(np.array(IMAGE)), tf.constant(orientation))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("orientation", [None, 0, 9, 65535])
def test_without_a_meaningful_orientation_it_is_upright(orientation):
    assert int(read_orientation(encoded(orientation))) == 1


def test_damaged_data_is_upright():
    contents = encoded(6)
    start = contents.index(b"Exif\0\0") + 6
    for end in (start, start + 3, start + 9, start + 14):  # cut short anywhere
        assert int(read_orientation(contents[:end])) == 1
    far = contents[: start + 4] + b"\xff\xff\xff\x7f" + contents[start + 8 :]
    assert int(read_orientation(far)) in range(1, 9)
    assert int(read_orientation(b"\xff\xd8\xff")) == 1
