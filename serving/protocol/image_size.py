"""Width and height that an image's header declares, read without decoding it.

Layouts: JPEG ITU-T T.81 B.2.2 (frame headers), PNG (W3C) 11.2.2, GIF89a 18, the BMP file header
and DIB headers (Microsoft's wingdi.h), WebP container (RFC 9649).
"""

from __future__ import annotations

import struct

# Frame headers of JPEG: SOF0 to SOF15, without DHT, JPG and DAC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# JPEG markers without a length: TEM, RST0 to RST7, SOI.
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


def declared(data: bytes) -> tuple[int, int] | None:
    """Width and height, or None for what is no JPEG, PNG, GIF, BMP or WebP, or cut off."""
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack_from(">II", data, 16)
        if data.startswith((b"GIF87a", b"GIF89a")):
            return _gif(data)
        if data.startswith(b"BM"):
            return _bmp(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp(data)
    except struct.error:
        pass
    return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """The largest frame: a decoder may stop at the first, or not."""
    at, largest = 2, None
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        marker = data[at + 1]
        if marker in (0x00, 0xFF) or marker in _JPEG_BARE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (0xD9, 0xDA):
            break
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            largest = max(largest or (0, 0), (width, height), key=lambda size: size[0] * size[1])
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return largest


def _gif(data: bytes) -> tuple[int, int]:
    # Decoders allocate the logical screen; a frame that does not fit into it is refused by them.
    return struct.unpack_from("<HH", data, 6)


def _bmp(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        return struct.unpack_from("<HH", data, 18)
    width, height = struct.unpack_from("<ii", data, 18)
    return abs(width), abs(height)


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width, width_high, height, height_high = struct.unpack_from("<HBHB", data, 24)
        return (width_high << 16 | width) + 1, (height_high << 16 | height) + 1
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None
