"""JSON bodies: what is read, and what is refused."""

from __future__ import annotations

import math

import grpc
import pytest

from serving.errors import ServingError
from serving.protocol.rest import json_text
from serving.protocol.rest.json_text import parse


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
        (b"", "char 0"),
        (b" \n", "char"),
        (b"instances = [1]", "char 0"),
        (b'{"instances": [nan]}', "char 15"),
        (b"[Infinite]", "char"),
        (b"[1 2]", "char 3"),
        (b'{"a":1 "b":2}', "char 7"),
        (b"{'a':1}", "char 1"),
        (b'["a', "char 3"),
        (b'["\\ud800x"]', "char"),
        (b'[NaN, "\\udc00"]', "char"),
        (b"[NaN, nan]", "char 6"),
        (b'["\x01"]', "char"),
        (b'["\xff"]', "utf"),
        (b'[NaN, "\xff"]', "char"),
        (b"[1e]", "char"),
        (b"[1] 2", "char 4"),
        (b'{"a":1,"a":2}', "Duplicate key: a"),
        (b'[{"x":[{"a":NaN,"a":2}]}]', "Duplicate key: a"),
        (b'[[[{"a":1,"a":2}]]]', "Duplicate key: a"),
    ],
)
def test_errors_and_where_they_are(body: bytes, message: str) -> None:
    with pytest.raises(ServingError) as error:
        parse(body)
    assert error.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.message.startswith("JSON Parse error: ")
    assert message.lower() in error.value.message.lower()


@pytest.mark.parametrize("inner", [b"", b"NaN"])
def test_deep_nesting_ends_in_an_error(inner: bytes) -> None:
    for depth in (1025, 30_000, 1 << 18):
        with pytest.raises(ServingError, match=r"[Dd]eep|depth|[Rr]ecursion"):
            parse(b"[" * depth + inner + b"]" * depth)
