"""Sizes that images' headers declare."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from serving.protocol.image_size import declared


def encoded(kind: str, size: tuple[int, int], **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("size", [(3, 5), (300, 1), (1000, 700)])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "exif": b"Exif\0\0" + b"\xff\xc0" * 40}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0"}),
    ],
)
def test_size_of_what_pillow_writes(
    kind: str, options: dict[str, object], size: tuple[int, int]
) -> None:
    data = encoded(kind, size, **options)
    assert declared(data) == size
    for end in {*range(min(64, len(data))), *range(0, len(data), max(1, len(data) // 50))}:
        assert declared(data[:end]) in (size, None)


def test_a_bmp_upside_down_and_an_old_one() -> None:
    data = bytearray(encoded("BMP", (3, 5)))
    data[22:26] = struct.pack("<i", -5)
    assert declared(bytes(data)) == (3, 5)
    old = b"BM" + b"\0" * 12 + struct.pack("<IHHHH", 12, 40_000, 2, 1, 24)
    assert declared(old) == (40_000, 2)


def test_the_largest_frame_of_a_jpeg_counts() -> None:
    small, large = (struct.pack(">BBHBHHB", 0xFF, 0xC0, 8, 8, n, n, 0) for n in (1, 60_000))
    for frames in (small + large, large + small, b"\xff" + small + large):
        assert declared(b"\xff\xd8" + frames + b"\xff\xd9") == (60_000, 60_000)


@pytest.mark.parametrize("data", [b"", b"hello", b"BM", b"RIFF0000WEBPabcd", b"\xff\xd8\xff\xff"])
def test_what_is_no_image(data: bytes) -> None:
    assert declared(data) is None
