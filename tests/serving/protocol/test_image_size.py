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
    assert declared(data)[:2] == size
    assert declared(data).problem(size[0] * size[1]) is None
    for end in {*range(min(64, len(data))), *range(0, len(data), max(1, len(data) // 50))}:
        found = declared(data[:end])
        assert found is None or found[:2] == size


def test_a_bmp_upside_down_and_an_old_one() -> None:
    data = bytearray(encoded("BMP", (3, 5)))
    data[22:26] = struct.pack("<i", -5)
    assert declared(bytes(data))[:2] == (3, 5)
    old = b"BM" + b"\0" * 12 + struct.pack("<IHHHH", 12, 40_000, 2, 1, 24)
    assert declared(old)[:2] == (40_000, 2)


def test_the_largest_frame_of_a_jpeg_counts() -> None:
    small, large = (struct.pack(">BBHBHHB", 0xFF, 0xC0, 8, 8, n, n, 0) for n in (1, 60_000))
    for frames in (small + large, large + small, b"\xff" + small + large):
        assert declared(b"\xff\xd8" + frames + b"\xff\xd9")[:2] == (60_000, 60_000)


@pytest.mark.parametrize("data", [b"", b"hello", b"BM", b"RIFF0000WEBPabcd", b"\xff\xd8\xff\xff"])
def test_what_is_no_image(data: bytes) -> None:
    assert declared(data) is None


def animation(kind: str) -> bytes:
    frames = [Image.new("RGB", (30, 20), (i * 60, 0, 0)) for i in range(4)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    return file.getvalue()


def test_all_frames_of_a_gif_count() -> None:
    size = declared(animation("GIF"))
    assert (size[:2], size.pixels) == ((30, 20), 4 * 30 * 20)
    assert size.problem(4 * 30 * 20) is None
    assert "30 x 20 in many frames" in size.problem(4 * 30 * 20 - 1)


def test_an_animated_webp_is_refused() -> None:
    assert "animated WebP cannot be decoded" in declared(animation("WEBP")).problem(10**9)


def test_a_frame_larger_than_the_screen_counts() -> None:
    data = bytearray(encoded("GIF", (3, 5)))
    data = data.replace(b"\x2c\0\0\0\0\x03\0\x05\0", b"\x2c\0\0\0\0\xff\xff\xff\xff")
    # TensorFlow's decoder looks at the first four letters, and giflib at three.
    for version in (b"GIF89a", b"GIF8??"):
        assert declared(version + bytes(data[6:])).pixels == 65_535**2


def test_more_blocks_than_anybody_counts_are_too_much() -> None:
    gif = b"GIF89a\x03\0\x05\0\0\0\0" + b"\x21\xf9\0" * (1 << 18)
    assert declared(gif).problem(10**12)
    jpeg = b"\xff\xd8\xff\xc0\0\x0b\x08\0\x01\0\x01\x01" + b"\xff\x01" * (1 << 18)
    assert declared(jpeg).problem(10**12)


def test_scans_of_a_jpeg_count() -> None:
    data = encoded("JPEG", (64, 64), progressive=True)
    assert 2 <= declared(data).scans <= 12
    # The last scan again, with markers of all kinds in its data.
    scan = data[data.rindex(b"\xff\xda") : -2] + b"\xff\0\xff\xd3"
    assert declared(data[:-2] + scan * 20 + b"\xff\xd9" + scan * 20).problem(64 * 64) is None
    problem = declared(data[:-2] + scan * 32).problem(64 * 64)
    assert problem == "A JPEG may have at most 32 scans. Received: more"
