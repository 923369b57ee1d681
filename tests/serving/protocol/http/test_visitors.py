"""Whom a server answers."""

from __future__ import annotations

import pytest

from serving.protocol.http.visitors import Visitors
from serving.settings import Settings


def status(settings: Settings, method: str = "GET", **headers: str) -> int:
    """The refusal's status, or 200."""
    sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    refusal = Visitors(settings).refuse({"method": method}, sent)
    return refusal.status_code if refusal else 200


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8501",
        "127.0.0.1:8501",
        "[::1]:8501",
        "10.1.2.3",
        "own",
        "a.example:1",
    ],
)
def test_own_hosts(host: str) -> None:
    assert status(Settings(host="own", allowed_hosts=("A.example",)), host=host) == 200


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "a.example.", "a@own"]
    + ["own:80:80", "[::1", "[own]", "own evil", "o\xffwn", "0x7f.1", "*"],
)
def test_other_hosts(host: str) -> None:
    assert status(Settings(host="own", allowed_hosts=("a.example",)), host=host) == 403


def test_what_no_browser_sends_has_no_host() -> None:
    assert status(Settings()) == 200
    assert status(Settings(), "POST", origin="http://evil.example") == 403


def test_any_host_may_be_allowed() -> None:
    assert status(Settings(allowed_hosts=("*",)), host="evil.example") == 200


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://localhost",
        "http://localhost:8502",
        "http://[",
        "x",
    ]
    + ["http://localhost:8501@evil.example"],
)
def test_other_origins(method: str, origin: str) -> None:
    host = "localhost:8501"
    assert status(Settings(), method, host=host, origin=origin) == 403
    assert status(Settings(cors=True), method, host=host, origin=origin) == 200


def test_own_origins() -> None:
    for origin in ("http://localhost:8501", "https://LOCALHOST:8501"):
        assert status(Settings(), "POST", host="localhost:8501", origin=origin) == 200


def test_a_browser_that_says_cross_site_may_only_look() -> None:
    for site, method, expected in (
        ("cross-site", "GET", 200),
        ("cross-site", "POST", 403),
        ("same-site", "DELETE", 403),
        ("same-origin", "POST", 200),
        ("none", "POST", 200),
    ):
        assert status(Settings(), method, host="localhost", sec_fetch_site=site) == expected


def test_no_websockets() -> None:
    assert status(Settings(allowed_hosts=("*",)), host="x", upgrade="WebSocket") == 400
