"""JSON values as error messages show them."""

from __future__ import annotations

import json
from typing import Any

# Longer values are cut: an answer should not repeat a whole image.
LONGEST = 400

_TYPES = {
    type(None): "Null",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}
_WRITER = json.JSONEncoder(ensure_ascii=False)


def type_name(value: Any) -> str:
    """The type of `value`, as TensorFlow Serving names it."""
    if isinstance(value, bool):
        return "True" if value else "False"
    return _TYPES[type(value)]


def show(value: Any) -> str:
    """`value` as JSON, cut after `LONGEST` characters."""
    text = ""
    # Piece by piece, so that little more is written than is shown.
    for piece in _WRITER.iterencode(value[: LONGEST + 1] if isinstance(value, str) else value):
        text += piece
        if len(text) > LONGEST:
            return f"{text[:LONGEST]}..."
    return text
