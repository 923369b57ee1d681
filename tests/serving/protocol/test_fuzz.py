"""Whatever is sent, the server answers: never with 5xx but 503 and 504, and it goes on."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.running import Running

SIGNATURES = [
    "serving_default",
    "two",
    "text",
    "half",
    "total",
    "below_ten",
    "image_mean",
    "uint8",
    "int64",
    "bool",
    "float16",
    "float64",
    "nope",
]
NAMES = st.sampled_from(["half_plus_two", "kinds", "examples", "none", "..%2F", "%00", "", "a b"])
SUFFIXES = st.sampled_from(
    [
        "",
        "/versions/1",
        "/versions/2",
        "/versions/99999999999999999999",
        "/labels/x",
        "/",
        "/metadata",
    ]
)
VERBS = st.sampled_from(
    [":predict", ":classify", ":regress", "", ":", "/metadata", ":PREDICT", "?a"]
)
KEYS = st.sampled_from(
    ["instances", "inputs", "examples", "context", "signature_name", "x", "a", "b", "b64", "image"]
)
BYTES = st.binary(max_size=60).map(lambda data: {"b64": base64.b64encode(data).decode()})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.floats(width=32),
    st.text(max_size=8),
    BYTES,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@st.composite
def near_requests(draw: Callable[..., Any]) -> dict[str, Any]:
    """Documents that look much like requests."""
    document: dict[str, Any] = {"signature_name": draw(st.sampled_from(SIGNATURES))}
    rows = draw(st.lists(draw(st.sampled_from([SCALARS, VALUES, BYTES])), max_size=6))
    document[draw(st.sampled_from(["instances", "inputs", "examples"]))] = rows
    return document


@st.composite
def bodies(draw: Callable[..., Any]) -> bytes:
    """JSON, JSON with a byte changed, and bytes of any kind; some of it in gzip."""
    text = json.dumps(draw(st.one_of(near_requests(), VALUES))).encode()
    kind = draw(st.sampled_from(["whole", "changed", "cut", "any"]))
    if kind == "any":
        return draw(st.binary(max_size=200))
    at = draw(st.integers(0, len(text)))
    if kind == "changed":
        return text[:at] + draw(st.binary(max_size=3)) + text[at + 1 :]
    return text[:at] if kind == "cut" else text


REQUESTS = st.tuples(
    st.sampled_from(["POST"] * 8 + ["GET", "PUT", "OPTIONS", "HEAD", "DELETE"]),
    st.tuples(st.just("/v1/models/"), NAMES, SUFFIXES, VERBS)
    .map("".join)
    .map(lambda path: path.replace(" ", "%20")),
    bodies(),
    st.sampled_from(["", "", "", "gzip", "wrongly gzip", "deflate"]),
)


def check(server: Running, method: str, path: str, body: bytes, encoding: str) -> None:
    headers = {"Content-Encoding": encoding.removeprefix("wrongly ")} if encoding else {}
    sent = gzip.compress(body) if encoding == "gzip" else body
    answer = server.ask(method, path, sent, headers)
    assert answer.status < 500 or answer.status in (503, 504), answer
    assert b"Traceback" not in answer.body
    assert b"site-packages" not in answer.body
    if path.startswith("/v1/models/") and method == "POST":
        json.loads(answer.body)


def fuzz(server: Running, count: int) -> None:
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(REQUESTS)
    def some(request: tuple[str, str, bytes, str]) -> None:
        check(server, *request)

    some()
    answer = server.ask("POST", "/v1/models/half_plus_two:predict", b'{"instances":[1.0]}')
    assert answer.body == b'{"predictions":[2.5]}'


def test_some_hundred_requests(server: Running) -> None:
    fuzz(server, 300)


@pytest.mark.slow
def test_ten_thousand_requests(server: Running) -> None:
    fuzz(server, 10_000)
