"""Requests that cost a server much more than they cost their client."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image


class Attack(NamedTuple):
    """One request: over REST to a path, or over gRPC to PredictionService's `path`."""

    path: str
    body: bytes
    zipped: bool = False
    grpc: bool = False
    kind: str = "application/json"


MIB = 1 << 20
PREDICT = "/v1/models/bench:predict"
EMBED = "/v1/models/bench:embed"
ROWS = "/v1/models/bench/rows"


def attacks() -> dict[str, Callable[[], Attack]]:
    """What makes each attack, by name. The model is `bench`, an export with `embed_bytes`."""
    return {
        "GIF of 80 frames, 7000 x 7000": lambda: _images(_frames()),
        "JPEG of 4,000 scans, 7000 x 7000": lambda: _images(_scans()),
        "16 PNGs of 7000 x 7000": lambda: _images(*[_png("1", 7000)] * 16),
        "4 PNGs as large as they may be": lambda: _images(*[_png("RGBA", 4000)] * 4),
        "JPEG of 32 scans, as large as it may be": lambda: _images(_scans(4000, 32)),
        "bad image of 2 MiB": lambda: _images(b"\xff\xd8\xff\xd9" + os.urandom(2 * MIB)),
        "gzip of empty members, 4 MiB": lambda: Attack(
            PREDICT, gzip.compress(b"") * (4 * MIB // 20), zipped=True
        ),
        "gzip of 32 MiB of spaces": lambda: Attack(
            PREDICT, gzip.compress(b"[" + b" " * (32 * MIB - 2) + b"]"), zipped=True
        ),
        "24 MiB of ones to no model": lambda: Attack("/v1/models/none:classify", _ones()),
        "24 MiB of ones to classify": lambda: Attack("/v1/models/bench:classify", _ones()),
        "24 MiB of numbers to predict": lambda: _json(b"0.25,", 24 * MIB),
        "4 million arrays in JSON": lambda: _json(b"[],", 12_500_000),
        "24 MiB of objects in JSON": lambda: _json(b'{"b64":""},', 24 * MIB),
        "NaN beside 24 MiB of base64": lambda: Attack(
            PREDICT, b'{"instances":[NaN],"x":"' + b"A" * (24 * MIB) + b'"}'
        ),
        "24 MiB of strings in JSON": lambda: _json(b'"a",', 24 * MIB),
        "32 MiB as one image": lambda: Attack(
            EMBED, b"\xff\xd8\xff\xd9" + os.urandom(32 * MIB - 4), kind="image/jpeg"
        ),
        "64 images as parts, 32 MiB": lambda: _parts([_noise(512 * 1020)] * 64),
        "64 photographs as parts": lambda: _parts([_photograph()] * 64),
        "teaching 256 images, 24 MiB": lambda: Attack(ROWS, _rows(256, 24 * MIB // 256)),
        "teaching 256 images as lines": lambda: Attack(
            ROWS, _lines(_rows(256, 24 * MIB // 256)), kind="application/x-ndjson"
        ),
        "teaching 4 images as large as they may be": lambda: Attack(
            ROWS, json.dumps({"rows": [_row(_png("RGBA", 4000), "large")] * 4}).encode()
        ),
        "15 MiB of numbers over gRPC": lambda: Attack(
            "Predict", _message(_input(b"\x08\x01" + _field(5, b"\0" * (15 * MIB)))), grpc=True
        ),
        "15 MiB as one tensor over gRPC": lambda: Attack(
            "Predict", _message(_input(b"\x08\x04" + _field(4, b"\0" * (15 * MIB)))), grpc=True
        ),
        "8 million empty strings over gRPC": lambda: Attack(
            "Predict", _message(_input(b"\x08\x07" + b"\x42\0" * 8_000_000)), grpc=True
        ),
        "8 million empty inputs over gRPC": lambda: Attack(
            "Predict", _message(b"\x12\0" * 8_000_000), grpc=True
        ),
        "8 million empty examples over gRPC": lambda: Attack(
            "Classify", _message(_field(2, _field(1, b"\x0a\0" * 8_000_000))), grpc=True
        ),
        "15 MiB to no model over gRPC": lambda: Attack(
            "Predict",
            _field(1, _field(1, b"none")) + _input(_field(8, b"a" * (15 * MIB))),
            grpc=True,
        ),
    }


def _images(*images: bytes) -> Attack:
    """A request to embed images."""
    instances = b",".join(b'{"b64":"' + base64.b64encode(image) + b'"}' for image in images)
    return Attack(PREDICT, b'{"signature_name":"embed_bytes","instances":[' + instances + b"]}")


def _noise(size: int) -> bytes:
    """What begins as an image, and is none."""
    return b"\xff\xd8\xff\xd9" + os.urandom(size)


def _photograph() -> bytes:
    """A photograph of a million pixels, as large as is answered in batches."""
    small = Image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 50, 3), np.uint8))
    return _encoded(small.resize((1000, 1000), Image.Resampling.BICUBIC), "JPEG")


def _parts(images: list[bytes]) -> Attack:
    """A request to embed images without base64."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = b"".join(head + image + b"\r\n" for image in images) + b"--b--\r\n"
    return Attack(EMBED, body, kind="multipart/form-data; boundary=b")


def _row(image: bytes, label: str) -> dict[str, object]:
    return {"image_bytes": {"b64": base64.b64encode(image).decode()}, "label": label}


def _rows(count: int, size: int) -> bytes:
    """A request to teach so many images of so many bytes in base64 each."""
    rows = []
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        image = _encoded(Image.fromarray(pixels), "PNG")
        rows.append(_row(image + b"\0" * (size * 3 // 4 - len(image) - 60), "taught"))
    return json.dumps({"rows": rows}).encode()


def _lines(body: bytes) -> bytes:
    """The rows of a request, a line each."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in json.loads(body)["rows"])


def _json(value: bytes, size: int) -> Attack:
    return Attack(PREDICT, b'{"instances":[' + (value * (size // len(value)))[:-1] + b"]}")


def _ones() -> bytes:
    return b'{"examples":[{"x":[' + b"1," * (12 * MIB) + b"1]}]}"


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _png(mode: str, size: int) -> bytes:
    return _encoded(Image.new(mode, (size, size)), "PNG", optimize=True)


def _frames() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 2, (70, 7000), np.uint8).repeat(100, 0)
    data = _encoded(Image.fromarray(pixels * 255).convert("1"), "GIF")
    first = data.index(b"\x2c\0\0\0\0")
    return data[:first] + data[first:-1] * min(80, 3 * MIB // (len(data) - first)) + b"\x3b"


def _scans(size: int = 7000, count: int = 4000) -> bytes:
    data = _encoded(Image.new("L", (size, size)), "JPEG", progressive=True)
    more = count - data.count(b"\xff\xda")
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * more + b"\xff\xd9"


def _field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that holds bytes."""
    length, size = b"", len(content)
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def _input(tensor: bytes) -> bytes:
    return _field(2, _field(1, b"image_bytes") + _field(2, tensor))


def _message(rest: bytes) -> bytes:
    spec = _field(1, b"bench") + _field(3, b"embed_bytes")
    return _field(1, spec) + rest
