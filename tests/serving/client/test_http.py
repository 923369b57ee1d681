"""What the client makes of HTTP answers."""

from __future__ import annotations

import email.utils
import time

import httpx
import pytest

from serving.client.http import RestTransport
from serving.client.operations import Reply
from serving.client.rest import RestCall


def reply_to(monkeypatch: pytest.MonkeyPatch, answer: httpx.Response | Exception) -> Reply:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    original = httpx.Client
    monkeypatch.setattr(
        httpx,
        "Client",
        lambda **options: original(transport=httpx.MockTransport(handle), **options),
    )
    transport = RestTransport("http://server", None, 1.0, None)
    try:
        return transport.send(RestCall("GET", "/v1/models/m"))
    finally:
        transport.close()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3), ("in an hour", 3600), ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("soon", None)],
)
def test_retry_after_is_seconds_or_a_date(
    monkeypatch: pytest.MonkeyPatch, header: str, seconds: float | None
) -> None:
    if header == "in an hour":
        header = email.utils.formatdate(time.time() + 3600, usegmt=True)
    answer = httpx.Response(429, headers={"Retry-After": header}, json={"error": "busy"})
    reply = reply_to(monkeypatch, answer)
    assert reply.retry
    assert reply.error.code == "RESOURCE_EXHAUSTED"
    if seconds is None:
        assert reply.retry_after is None
    else:
        assert reply.retry_after == pytest.approx(seconds, abs=30)


def test_error_that_is_no_json_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = reply_to(monkeypatch, httpx.Response(502, text="<h1>Bad gateway</h1>"))
    assert str(reply.error) == "<h1>Bad gateway</h1>"
    assert (reply.error.status, reply.retry) == (502, False)


@pytest.mark.parametrize(
    ("error", "code", "retry"),
    [
        (httpx.ConnectError("refused"), "UNAVAILABLE", True),
        (httpx.RemoteProtocolError("closed"), "UNAVAILABLE", True),
        (httpx.ConnectTimeout("slow"), "UNAVAILABLE", True),
        (httpx.ReadTimeout("slow"), "DEADLINE_EXCEEDED", False),
    ],
)
def test_failures_of_the_connection(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: str, retry: bool
) -> None:
    reply = reply_to(monkeypatch, error)
    assert (reply.error.code, reply.retry) == (code, retry)
