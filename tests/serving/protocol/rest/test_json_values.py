"""How error messages show JSON values."""

from __future__ import annotations

import math
from typing import Any

import pytest

from serving.protocol.rest.json_values import DEEPEST, LONGEST, decimal, show, type_name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (0.1, "0.1"),
        (9e6, "9e+06"),
        (0.123456789, "0.123456791"),
        (1e300, "1e+300"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        ([1, 2.5, 1e22, 1e-7, 1e16, 123456.0, math.inf], None),
        ({}, "{}"),
        ([], "[]"),
        ('"\\\n\x01ä', '"\\"\\\\\\n\\u0001ä"'),
        ({"a": ["b"], "c": [{"d": 1.0}]}, None),
    ],
)
def test_show(value: Any, text: str | None) -> None:
    by_hand = {
        list: "[1, 2.5, 1e22, 1e-7, 10000000000000000.0, 123456.0, Infinity]",
        dict: '{\n    "a": ["b"],\n    "c": [{\n            "d": 1.0\n        }]\n}',
    }
    assert show(value) == (text or by_hand[type(value)])


def test_long_and_deep_values_are_cut() -> None:
    deep: Any = []
    for _ in range(1000):
        deep = [deep]
    for value in ([0] * LONGEST, "a" * 10 * LONGEST, {"a" * LONGEST: 1}, [["b"] * LONGEST] * 9):
        assert len(show(value)) == LONGEST + 3
    assert show(deep) == "[" * (DEEPEST + 1) + "..."


def test_type_names() -> None:
    values = [None, True, False, {}, [], "", 1, 1.0]
    names = ["Null", "True", "False", "Object", "Array", "String", "Number", "Number"]
    assert [type_name(value) for value in values] == names


def test_decimal_of_a_number_between_float32_and_double() -> None:
    assert decimal(3.4e38) == "3.4e+38"
    assert decimal(3.5e38) == "3.5e+38"
