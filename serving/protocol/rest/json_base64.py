"""Bytes in JSON: base64 in an object of one key."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import grpc

from serving.errors import ServingError

_WHITESPACE = str.maketrans("", "", " \t\n\v\f\r")
_BASE64 = re.compile(r"([A-Za-z0-9+/]*)([=.]*)")


def is_base64(value: Any) -> bool:
    """Whether `value` is an object of one key, "b64", with a string."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def decode_base64(value: dict[str, str]) -> bytes:
    """The bytes of a `{"b64": ...}` object; padding and white space are optional.

    Raises:
        ServingError: INVALID_ARGUMENT for what is no base64. The web-safe alphabet is not taken.
    """
    text = value["b64"]
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        match = _BASE64.fullmatch(text.translate(_WHITESPACE))
    if match:
        digits, padding = match.groups()
        missing = -len(digits) % 4
        if missing != 3 and len(padding) in (0, missing):
            return base64.b64decode(digits + "=" * missing)
    raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "Unable to base64 decode")
