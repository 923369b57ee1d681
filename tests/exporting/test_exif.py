from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from and_tf.exporting.exif import read_orientation, upright

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8))


def jpeg(orientation: int | None = None, endian: str = "<", before: int = 0) -> bytes:
    exif = Image.Exif()
    exif.endian = endian
    for tag in range(0x0100, 0x0100 + before):
        exif[tag] = 1
    exif[0x010F] = "a camera"
    if orientation is not None:
        exif[0x0112] = orientation
    file = io.BytesIO()
    IMAGE.save(file, "JPEG", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_as_pillow_does(orientation, endian):
    contents = jpeg(orientation, endian, before=3)
    assert int(read_orientation(contents)) == orientation
    turned = IMAGE.copy()
    turned.getexif()[0x0112] = orientation
    expected = np.array(ImageOps.exif_transpose(turned))
    found = upright(tf.constant(np.array(IMAGE)), tf.constant(orientation))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("orientation", [None, 0, 9, 65535])
def test_without_a_meaningful_orientation_it_is_upright(orientation):
    assert int(read_orientation(jpeg(orientation))) == 1


def test_damaged_data_is_upright():
    contents = jpeg(6)
    start = contents.index(b"Exif\0\0") + 6
    for end in (start, start + 3, start + 9, start + 14):  # cut short anywhere
        assert int(read_orientation(contents[:end])) == 1
    far = contents[: start + 4] + b"\xff\xff\xff\x7f" + contents[start + 8 :]
    assert int(read_orientation(far)) in range(1, 9)
    assert int(read_orientation(b"\xff\xd8\xff")) == 1
