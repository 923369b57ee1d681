"""The rows in a request's body."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from serving.errors import ServingError
from serving.protocol.request_checks import Limits
from serving.teaching.new_rows import (
    LONGEST_IMAGE,
    LONGEST_TEXT,
    MOST_ROWS,
    RowsRefusedError,
    read_rows,
)

RED = (200, 30, 30)


@pytest.fixture
def png(coloured_png: Callable[..., bytes]) -> bytes:
    return coloured_png(RED, 0)


def encoded(image: bytes, **more: Any) -> dict[str, Any]:
    return {"image_bytes": {"b64": base64.b64encode(image).decode()}, "label": "red"} | more


def body(*rows: Any) -> bytes:
    return json.dumps({"rows": rows}).encode()


def refused(row: Any, most_pixels: int = 64) -> str:
    with pytest.raises(RowsRefusedError) as caught:
        read_rows(body(row), Limits(pixels=most_pixels))
    return caught.value.reasons[0]


def test_rows_are_read_in_their_order(png: bytes, coloured_png: Callable[..., bytes]) -> None:
    other = coloured_png(RED, 1)
    label = "x" * LONGEST_TEXT
    first, second = read_rows(
        body(encoded(png), encoded(other, label=label, source="a.png")), Limits(pixels=64)
    )
    assert (first.image, first.label, first.source) == (png, "red", "taught")
    assert (second.image, second.label, second.source) == (other, label, "a.png")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"rows": []}',
        b'{"rows": {}}',
        b'{"rows": null}',
        b'{"rows": [',
        b'{"rows": [1]}',
        b"\xff",
        b"[" * 2000,
    ],
)
def test_a_body_that_is_no_request_is_refused(text: bytes) -> None:
    with pytest.raises(ServingError):
        read_rows(text, Limits(pixels=64))


@pytest.mark.parametrize(
    ("label", "kept"),
    [
        (" red\t", "red"),
        ("e\u0301te\u0301", "\xe9t\xe9"),
        ("\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",) * 2,
        ("\u0915\u094d\u200d\u0937",) * 2,
        ("\U0001f469\u200d\U0001f52c",) * 2,
        ("a\xa0b",) * 2,
    ],
)
def test_labels_of_all_scripts(png: bytes, label: str, kept: str) -> None:
    (row,) = read_rows(body(encoded(png, label=label)), Limits(pixels=64))
    assert row.label == kept


@pytest.mark.parametrize("label", ["a\nb", "a\0b", "a\u2028b", "\u202eab", " \u200b\n"])
def test_labels_that_would_mislead_are_refused(png: bytes, label: str) -> None:
    assert "label must be" in refused(encoded(png, label=label))


def test_too_many_rows_are_refused(png: bytes) -> None:
    assert len(read_rows(body(*[encoded(png)] * MOST_ROWS), Limits(pixels=64))) == MOST_ROWS
    with pytest.raises(ServingError, match=f"At most {MOST_ROWS} rows"):
        read_rows(body(*[encoded(png)] * (MOST_ROWS + 1)), Limits(pixels=64))


def test_an_image_that_is_too_large_is_refused(png: bytes) -> None:
    assert "at most 63 pixels. Received: 8 x 8" in refused(encoded(png), most_pixels=63)
    long = encoded(png + b"\0" * LONGEST_IMAGE)
    assert refused(long) == f"the image is longer than {LONGEST_IMAGE} bytes"


def test_a_label_that_is_too_long_is_refused(png: bytes) -> None:
    assert "label must be printable" in refused(encoded(png, label="x" * (LONGEST_TEXT + 1)))
