"""JSON values as error messages show them.

TensorFlow Serving shows the value that it refuses: pretty-printed by RapidJSON with lists on one
line, and a lone number as `%g` of its type (tensorflow_serving/util/json_tensor.cc).
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

import numpy as np

# Longer values are cut: an answer should not repeat a whole image.
LONGEST = 4096
DEEPEST = 64

_TYPES = {
    type(None): "Null",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_SHORT = dict(zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True))


def type_name(value: Any) -> str:
    """RapidJSON's name of the type of `value`."""
    if isinstance(value, bool):
        return "True" if value else "False"
    return _TYPES[type(value)]


def show(value: Any) -> str:
    """`value` as an error message shows it, cut after `LONGEST` characters or `DEEPEST` levels."""
    if isinstance(value, float):
        return decimal(value)
    pieces: list[str] = []
    room = _write(value, pieces, 0, LONGEST)
    text = "".join(pieces)
    return text if room >= 0 else f"{text[:LONGEST]}..."


def decimal(value: float) -> str:
    """A number by itself: six digits where they suffice, as float32 where it fits into one."""
    if not math.isfinite(value):
        return _constant(value)
    with np.errstate(over="ignore"):
        narrow = np.float32(value)
    if np.isfinite(narrow):
        text = f"{float(narrow):g}"
        if np.float32(text) != narrow:
            text = f"{float(narrow):.9g}"
    else:
        text = f"{value:g}"
        if float(text) != value:
            text = f"{value:.17g}"
    return text if "." in text or "e" in text else f"{text}.0"


def _write(value: Any, pieces: list[str], depth: int, room: int) -> int:
    """Appends `value`; returns the room left, and stops where there is none."""
    if room < 0 or depth > DEEPEST:
        return -1
    if isinstance(value, dict) and value:
        return _write_members(value, pieces, depth, room)
    if isinstance(value, list) and value:
        room = _append("[", pieces, room)
        for i, element in enumerate(value):
            room = _append(", ", pieces, room) if i else room
            room = _write(element, pieces, depth + 1, room)
            if room < 0:
                return room
        return _append("]", pieces, room)
    return _append(_scalar(value, room), pieces, room)


def _write_members(value: dict[str, Any], pieces: list[str], depth: int, room: int) -> int:
    room = _append("{", pieces, room)
    for i, (key, member) in enumerate(value.items()):
        start = ",\n" if i else "\n"
        room = _append(f"{start}{'    ' * (depth + 1)}{_quote(key, room)}: ", pieces, room)
        room = _write(member, pieces, depth + 1, room)
        if room < 0:
            return room
    return _append(f"\n{'    ' * depth}}}", pieces, room)


def _append(text: str, pieces: list[str], room: int) -> int:
    pieces.append(text)
    return room - len(text)


def _scalar(value: Any, room: int) -> str:
    if isinstance(value, str):
        return _quote(value, room)
    if isinstance(value, float):
        return _shortest(value)
    # What is left, numbers and empty lists and objects too, has no more than one way to write it.
    return json.dumps(value)


def _quote(text: str, room: int) -> str:
    cut = text[: max(room, 0) + 1]
    return f'"{_ESCAPED.sub(_escape, cut)}"'


def _escape(match: re.Match[str]) -> str:
    return f"\\{_SHORT[match[0]]}" if match[0] in _SHORT else f"\\u{ord(match[0]):04X}"


def _shortest(value: float) -> str:
    """A number among others: the shortest digits of its double, exponents as `1e30`."""
    if not math.isfinite(value):
        return _constant(value)
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        text = f"{Decimal(repr(value)):f}"
        return text if "." in text else f"{text}.0"
    digits, exponent = f"{value!r}".split("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}"


def _constant(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
