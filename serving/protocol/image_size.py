"""What it costs to decode an image, read from its headers without decoding it.

Layouts: JPEG ITU-T T.81 B.2 (frame and scan headers), PNG (W3C) 11.2.2, GIF89a 18 to 23, the BMP
file header and DIB headers (Microsoft's wingdi.h), WebP container (RFC 9649).
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

# Encoders write about ten scans in a progressive JPEG. A decoder goes over all pixels in each.
MOST_SCANS = 32
# Of one image: more segments or blocks than any encoder writes take longer to count than they are
# worth.
_MOST_STEPS = 1 << 18

# Frame headers of JPEG: SOF0 to SOF15, without DHT, JPG and DAC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# JPEG markers without a length: TEM, RST0 to RST7, SOI.
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_EXTENSION, _IMAGE = 0x21, 0x2C


class Size(NamedTuple):
    """Width and height, and what there is to decode.

    `frames_pixels` are those of all frames of an animation, which TensorFlow decodes even where it
    returns one; 0 where there is one. `scans` are those of a JPEG. Of an animated WebP TensorFlow
    2.20 writes four channels where there is room for three.
    """

    width: int
    height: int
    frames_pixels: int = 0
    scans: int = 1
    animated_webp: bool = False

    @property
    def pixels(self) -> int:
        """Pixels that a decoder makes."""
        return max(self.width * self.height, self.frames_pixels)

    def problem(self, most_pixels: int) -> str | None:
        """Why the image cannot be decoded, or costs too much; None for any other."""
        if self.animated_webp:
            return "An animated WebP cannot be decoded; send one of its frames"
        if self.pixels > most_pixels:
            frames = " in many frames" if self.frames_pixels else ""
            return (
                f"An image may have at most {most_pixels} pixels. "
                f"Received: {self.width} x {self.height}{frames}"
            )
        if self.scans > MOST_SCANS:
            return f"A JPEG may have at most {MOST_SCANS} scans. Received: more"
        return None


def declared(data: bytes) -> Size | None:
    """What the headers say; None for what is no JPEG, PNG, GIF, BMP or WebP, or cut off."""
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return Size(*struct.unpack_from(">II", data, 16))
        if data.startswith(b"GIF"):
            return _gif(data)
        if data.startswith(b"BM"):
            return Size(*_bmp(data))
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp(data)
    except struct.error:
        pass
    return None


def _jpeg(data: bytes) -> Size | None:
    """The largest frame, for a decoder may stop at the first, or not; counts no more scans than 33."""
    width = height = scans = at = 0
    for _ in range(_MOST_STEPS):
        # Between the segments, and in the coded data after a scan's header, this is the next.
        found = _JPEG_MARKER.search(data, at)
        if found is None or (marker := data[found.start() + 1]) == 0xD9 or scans > MOST_SCANS:
            return Size(width, height, scans=max(scans, 1)) if width * height else None
        at = found.end()
        if marker in _JPEG_BARE:
            continue
        scans += marker == 0xDA
        if marker in _JPEG_FRAMES and not scans:
            size = struct.unpack_from(">HH", data, at + 3)
            height, width = max((height, width), size, key=lambda size: size[0] * size[1])
        if len(data) >= at + 2:
            at += struct.unpack_from(">H", data, at)[0]
    return Size(width, height, scans=MOST_SCANS + 1)


def _gif(data: bytes) -> Size:
    """A decoder allocates the logical screen for every frame, and what the frame declares."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    pixels, at = 0, 13 + _gif_colours(flags)
    for _ in range(_MOST_STEPS):
        kind = data[at] if at < len(data) else None
        if kind == _IMAGE and at + 10 < len(data):
            frame_width, frame_height, flags = struct.unpack_from("<HHB", data, at + 5)
            pixels += max(width * height, frame_width * frame_height)
            at += 11 + _gif_colours(flags)
        elif kind == _EXTENSION:
            at += 2
        else:
            return Size(width, height, pixels if pixels > width * height else 0)
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return Size(width, height, 1 << 62)


def _gif_colours(flags: int) -> int:
    """Bytes of the table of colours that such flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _bmp(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        return struct.unpack_from("<HH", data, 18)
    width, height = struct.unpack_from("<ii", data, 18)
    return abs(width), abs(height)


def _webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width, width_high, height, height_high = struct.unpack_from("<HBHB", data, 24)
        width, height = (width_high << 16 | width) + 1, (height_high << 16 | height) + 1
        return Size(width, height, animated_webp=bool(data[20] & 2))
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Size(width & 0x3FFF, height & 0x3FFF)
    return None
