"""The rows in the body of a request to teach: read, and checked before any is embedded."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import grpc

from serving.errors import ServingError, invalid
from serving.protocol import image_size
from serving.protocol.request_checks import Limits, check_total
from serving.protocol.rest import json_text
from serving.teaching.taught_rows import NewRow

DEFAULT_SOURCE = "taught"
# Rows of a request, bytes of an encoded image, characters of a label or a source.
MOST_ROWS = 256
LONGEST_IMAGE = 4 * 2**20
LONGEST_TEXT = 200


class RowsRefusedError(ServingError):
    """Rows that cannot be taught: `reasons` tells why, by place in the request."""

    def __init__(self, reasons: dict[int, str], count: int) -> None:
        super().__init__(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"{len(reasons)} of {count} rows cannot be taught, so none was.",
        )
        self.args = (reasons, count)
        self.reasons = reasons


# Control characters, line ends, halves of surrogate pairs, and what reverses the text around it.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def read_rows(body: bytes, limits: Limits) -> Sequence[NewRow]:
    """The rows of a request's body.

    Raises:
        ServingError: INVALID_ARGUMENT for a body that is no such request; RowsRefusedError with a
            reason for each row that cannot be taught.
    """
    document = json_text.parse(body)
    rows = document.get("rows") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not rows:
        raise invalid(
            'Expected {"rows": [{"image_bytes": {"b64": "..."}, "label": "..."}, ...]} '
            "with at least one row"
        )
    return _read(rows, limits)


def read_lines(body: bytes, limits: Limits) -> Sequence[NewRow]:
    """The rows of a body of lines, each a row in JSON, as they are exported.

    Raises:
        ServingError: as `read_rows`.
    """
    rows = [json_text.parse(line) for line in body.splitlines() if line.strip()]
    if not rows:
        raise invalid('Expected lines {"image_bytes": {"b64": "..."}, "label": "..."}')
    for row in rows:
        if isinstance(row, dict):
            # They get others.
            row.pop("id", None)
            row.pop("time", None)
    return _read(rows, limits)


def _read(rows: Sequence[Any], limits: Limits) -> Sequence[NewRow]:
    if len(rows) > MOST_ROWS:
        raise invalid(f"At most {MOST_ROWS} rows a request. Received: {len(rows)}")
    taken: list[NewRow] = []
    reasons: dict[int, str] = {}
    labels: dict[bytes, str] = {}
    pixels = 0
    for index, row in enumerate(rows):
        try:
            new, image_pixels = _read_row(row, limits)
            pixels += image_pixels
            if labels.setdefault(new.digest, new.label) != new.label:
                raise invalid(f"the same image has the label {labels[new.digest]!r} above")
        except ServingError as error:
            reasons[index] = error.message
        else:
            taken.append(new)
    if reasons:
        raise RowsRefusedError(reasons, len(rows))
    check_total(pixels, limits)
    return taken


def _read_row(row: Any, limits: Limits) -> tuple[NewRow, int]:
    """A row, and the pixels of its image."""
    if not isinstance(row, dict):
        raise invalid("a row must be an object with image_bytes and label")
    unknown = sorted(set(row) - {"image_bytes", "label", "source"})
    if unknown:
        raise invalid(f"unknown keys: {', '.join(key[:50] for key in unknown[:5])}")
    image, pixels = _image(row.get("image_bytes"), limits)
    new = NewRow(
        image=image,
        label=_text(row.get("label"), "label"),
        source=_text(row.get("source", DEFAULT_SOURCE), "source"),
    )
    return new, pixels


def _image(value: Any, limits: Limits) -> tuple[bytes, int]:
    encoded = value.get("b64") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(encoded, str):
        raise invalid('image_bytes must be {"b64": "..."}')
    if len(encoded) > LONGEST_IMAGE * 4 // 3 + 4:
        raise invalid(f"the image is longer than {LONGEST_IMAGE} bytes")
    try:
        image = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("image_bytes is not base64") from None
    size = image_size.declared(image)
    if size is None:
        raise invalid("the image is no JPEG, PNG, GIF, BMP or WebP")
    if problem := size.problem(limits.pixels):
        raise invalid(problem)
    return image, size.pixels


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str) or not any(c.isprintable() and c != " " for c in value):
        raise invalid(f"{key} must be text that is not empty")
    text = normalized(value)
    if len(text) > LONGEST_TEXT or _UNPRINTABLE.search(text):
        raise invalid(f"{key} must be printable, and at most {LONGEST_TEXT} characters long")
    return text


def normalized(text: str) -> str:
    """A label as it is kept: without space around it, and in Unicode's form NFC.

    What looks the same is the same then, whatever keyboard or file system it comes from.
    """
    return unicodedata.normalize("NFC", text).strip()
