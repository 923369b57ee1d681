"""How error messages show JSON values."""

from __future__ import annotations

import math
from typing import Any

from serving.protocol.rest.json_values import LONGEST, show, type_name


def test_show() -> None:
    value = {"a": [1, 2.5, math.inf, None, True], "b": 'ä"', "c": {}}
    assert show(value) == '{"a": [1, 2.5, Infinity, null, true], "b": "ä\\"", "c": {}}'


def test_long_and_deep_values_are_cut() -> None:
    deep: Any = []
    for _ in range(1000):
        deep = [deep]
    for value in ([0] * LONGEST, "a" * 10 * LONGEST, {"a" * LONGEST: 1}, [["b"] * LONGEST] * 9):
        assert len(show(value)) == LONGEST + 3
    assert show(deep) == "[" * LONGEST + "..."


def test_type_names() -> None:
    values = [None, True, False, {}, [], "", 1, 1.0]
    names = ["Null", "True", "False", "Object", "Array", "String", "Number", "Number"]
    assert [type_name(value) for value in values] == names
