"""JSON bodies: what is read, and what is refused in RapidJSON's words."""

from __future__ import annotations

import math

import grpc
import pytest

from serving.errors import ServingError
from serving.protocol.rest import json_text
from serving.protocol.rest.json_text import LONGEST_WORDED, parse


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b' {"a": [1, -2.5, "b\\u00e4", null, true]} ', {"a": [1, -2.5, "bä", None, True]}),
        (b"\xef\xbb\xbf[1]", [1]),
        (b"[18446744073709551615, -9223372036854775808]", [2**64 - 1, -(2**63)]),
        (b'{"key": "a: {b}: c"}', {"key": "a: {b}: c"}),
        (b'[[{"a": {"b": 1}}], {"c": [[{"d": 2}]]}]', [[{"a": {"b": 1}}], {"c": [[{"d": 2}]]}]),
        (b'["NaN", Infinity, -Inf, "Inf \\" Inf"]', ["NaN", math.inf, -math.inf, 'Inf " Inf']),
    ],
)
def test_values(body: bytes, value: object) -> None:
    assert parse(body) == value


def test_number_of_arrays_and_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "MOST_ARRAYS", 4)
    assert parse(b"[[], {}, []]") == [[], {}, []]
    for body in (b"[[], [], [], []]", b'[{}, {}, {}, {"a": 1}]'):
        with pytest.raises(ServingError, match="More than 4 arrays and objects"):
            parse(body)


def test_nan_and_wide_integers_beside_it() -> None:
    nan, minus, wide, narrow = parse(b"[NaN, -NaN, 18446744073709551616, 18446744073709551615]")
    assert math.isnan(nan)
    assert math.isnan(minus)
    assert (type(wide), wide) == (float, 2.0**64)
    assert (type(narrow), narrow) == (int, 2**64 - 1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The document is empty"),
        (b" \n", "The document is empty. at offset: 2"),
        (b"instances = [1]", "Invalid value. at offset: 0"),
        (b'{"instances": [nan]}', "Invalid value. at offset: 16"),
        (b"[-]", "Invalid value. at offset: 2"),
        (b"[Infinite]", "Invalid value. at offset: 8"),
        (b"[1,]", "Invalid value. at offset: 3"),
        (b"[1 2]", "Missing a comma or ']' after an array element. at offset: 3"),
        (b"[01]", "Missing a comma or ']' after an array element. at offset: 2"),
        (b'{"a":1 "b":2}', "Missing a comma or '}' after an object member. at offset: 7"),
        (b"{'a':1}", "Missing a name for object member. at offset: 1"),
        (b'{"a":1,}', "Missing a name for object member. at offset: 7"),
        (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        (b'["a', "Missing a closing quotation mark in string. at offset: 3"),
        (b'["\\x"]', "Invalid escape character in string. at offset: 2"),
        (b'["\\u12G4"]', "Incorrect hex digit after \\u escape in string. at offset: 2"),
        (b'["\\ud800x"]', "The surrogate pair in string is invalid. at offset: 2"),
        (b'[NaN, "\\udc00"]', "The surrogate pair in string is invalid. at offset: 7"),
        (b'["\x01"]', "Invalid encoding in string. at offset: 2"),
        (b'["\xff"]', "Invalid encoding in string. at offset: 2"),
        (b"[1.]", "Miss fraction part in number. at offset: 3"),
        (b"[1e]", "Miss exponent in number. at offset: 3"),
        (b"[1e999]", "Number too big to be stored in double. at offset: 1"),
        (b"[1] 2", "The document root must not be followed by other values. at offset: 4"),
        (b'{"a":1,"a":2}', "Duplicate key: a"),
        (b'[{"x":[{"a":NaN,"a":2}]}]', "Duplicate key: a"),
        (b'[[[{"a":1,"a":2}]]]', "Duplicate key: a"),
    ],
)
def test_errors_and_offsets(body: bytes, message: str) -> None:
    with pytest.raises(ServingError) as error:
        parse(body)
    assert error.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.message == f"JSON Parse error: {message}"


@pytest.mark.parametrize("inner", [b"", b"NaN"])
def test_deep_nesting_ends_in_an_error(inner: bytes) -> None:
    for depth in (1025, 30_000, LONGEST_WORDED):
        with pytest.raises(ServingError, match=r"[Dd]eep|depth"):
            parse(b"[" * depth + inner + b"]" * depth)


def test_a_mistake_in_a_long_body_is_located_too() -> None:
    body = b'{"instances": ["' + b"A" * LONGEST_WORDED + b'",]}'
    with pytest.raises(ServingError, match=f"at offset: {len(body) - 3}"):
        parse(body)
