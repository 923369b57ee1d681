"""The text of a JSON request body to Python values, and the error where it is not JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from serving.errors import ServingError, invalid

# Brackets that open: arrays and objects. An empty one takes 2 bytes of text and 90 of memory, and
# a million of them takes half a second in which nothing else runs.
MOST_ARRAYS = 1 << 22

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Spellings that TensorFlow Serving takes and the standard library does not, and theirs.
_SPELLINGS = {"Inf": "Infinity", "-NaN": "NaN"}
_STRING_OR_SPELLING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|Inf(?!inity)|-NaN', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(body: bytes) -> Any:
    """`body` as JSON: dict, list, str, bool, int (of 64 bits), float or None.

    As TensorFlow Serving does, it takes `NaN`, `Infinity`, `-Infinity` and `Inf`. Stricter than it:
    nothing may follow the value, and no key may come twice.

    Raises:
        ServingError: INVALID_ARGUMENT, with the parser's message and where in the text it stopped.
    """
    if len(body) > MOST_ARRAYS and body.count(b"[") + body.count(b"{") > MOST_ARRAYS:
        raise _invalid(f"More than {MOST_ARRAYS} arrays and objects.")
    text = body.removeprefix(_BYTE_ORDER_MARK)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return _parse_with_constants(text, error)
    # Each member has a colon of its own; more colons are in strings, or members that were dropped.
    if text.count(b":") != _members(value, levels=5):
        _load_slowly(text.decode())
    return value


def _parse_with_constants(text: bytes, error: orjson.JSONDecodeError) -> Any:
    """What orjson does not take: NaN and infinities. All else is an error."""
    if (b"NaN" in text or b"Inf" in text) and not _SURROGATE.search(text):
        try:
            return _load_slowly(
                _STRING_OR_SPELLING.sub(
                    lambda match: _SPELLINGS.get(match[0], match[0]), text.decode()
                )
            )
        except json.JSONDecodeError as second:
            # orjson stopped at the first constant.
            raise _invalid(str(second)) from None
        except UnicodeDecodeError:
            pass
    raise _invalid(str(error))


def _load_slowly(text: str) -> Any:
    """The standard library's reading, which sees every key."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_int=_number)
    except RecursionError:
        raise _invalid("Nested too deep") from None


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) < len(members):
        seen: set[str] = set()
        for key, _ in members:
            if key in seen:
                raise _invalid(f"Duplicate key: {key[:100]}")
            seen.add(key)
    return value


def _number(digits: str) -> int | float:
    """An integer of 64 bits, or a float, as orjson has it."""
    if len(digits) > 20:
        return float(digits)
    number = int(digits)
    return number if -(1 << 63) <= number < 1 << 64 else float(number)


def _members(value: Any, levels: int) -> int:
    """Members of the objects in `value`; may miss some that lie among numbers or too deep."""
    if levels and isinstance(value, dict):
        return len(value) + sum(_members(member, levels - 1) for member in value.values())
    if levels and isinstance(value, list) and value and isinstance(value[0], dict):
        return sum(_members(element, levels - 1) for element in value)
    return 0


def _invalid(message: str) -> ServingError:
    return invalid(f"JSON Parse error: {message}")
