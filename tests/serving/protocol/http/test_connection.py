"""Connections that do not say what they want, or never stop to."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import time
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from serving.protocol import open_files
from tests.serving.running import Running, running

SECONDS = 0.4
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF = WHOLE[:-2]


@pytest.fixture(scope="module")
def impatient(saved_models: pathlib.Path) -> Iterator[Running]:
    with running({"m": saved_models / "half_plus_two"}, request_timeout=SECONDS) as one:
        yield one


def connect(one: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", one.server.rest_port), timeout=10)


def read(answers: BinaryIO) -> bytes:
    """The first line of an answer, which is read whole."""
    first = line = answers.readline()
    while line.strip():
        line = answers.readline()
    assert answers.read(len(b'{"status":"ok"}')) == b'{"status":"ok"}'
    return first.strip()


@pytest.mark.parametrize("sent", [b"", b"G", HALF])
def test_it_is_closed_when_the_headers_do_not_come(impatient: Running, sent: bytes) -> None:
    with connect(impatient) as client:
        client.sendall(sent)
        assert client.recv(100) == b""


def test_trickling_headers_do_not_keep_it_open(impatient: Running) -> None:
    start = time.monotonic()
    with connect(impatient) as client, pytest.raises(OSError):
        for byte in HALF * 10:
            client.sendall(bytes([byte]))
            time.sleep(0.05)
    assert time.monotonic() - start < 10 * SECONDS


@pytest.mark.parametrize(
    "endless",
    [
        HALF + b"A: " + b"a" * 10_000_000,
        HALF + b"A: a\r\n" * 1_000_000,
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: a\r\n" * 1_000_000,
    ],
    ids=["one header", "headers", "trailers"],
)
def test_it_is_closed_when_the_headers_do_not_end(saved_models, endless: bytes) -> None:
    with running({"m": saved_models / "half_plus_two"}) as patient, connect(patient) as client:
        with pytest.raises(OSError):
            client.sendall(endless)
        # A large body is none of this.
        large = b'{"instances": [1.0' + b" " * 10_000_000 + b"]}"
        assert patient.ask("POST", "/v1/models/m:predict", large).status == 200
        assert patient.ask("POST", "/v1/models/m:predict", iter([large])).status == 200


def test_too_many_connections_are_closed(
    saved_models: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_files, "most_connections", lambda: 2)
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(running({"m": saved_models / "half_plus_two"}))
        first, second, third = (stack.enter_context(connect(one)) for _ in range(3))
        assert third.recv(100) == b""
        for client in (first, second):
            client.sendall(WHOLE)
            assert client.recv(1000).startswith(b"HTTP/1.1 200")


def test_the_clock_starts_anew_with_each_request(impatient: Running) -> None:
    with connect(impatient) as client:
        answers = client.makefile("rb")
        client.sendall(WHOLE)
        assert read(answers) == b"HTTP/1.1 200 OK"
        # Between requests it is uvicorn that waits, for longer.
        time.sleep(1.5 * SECONDS)
        client.sendall(WHOLE)
        assert read(answers) == b"HTTP/1.1 200 OK"
        client.sendall(HALF)
        assert answers.read() == b""


def test_an_upgrade_that_is_not_taken_leaves_the_connection_in_use(
    saved_models: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    offer = (
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"
    )
    with running({"m": saved_models / "half_plus_two"}) as one:
        with connect(one) as client, client.makefile("rb") as answers:
            for request in (offer % b"h2c", WHOLE):
                client.sendall(request)
                assert read(answers) == b"HTTP/1.1 200 OK"
        with connect(one) as client, client.makefile("rb") as answers:
            client.sendall(offer % b"websocket")
            assert answers.read().startswith(b"HTTP/1.1 400")
    assert "pgrade" not in caplog.text
