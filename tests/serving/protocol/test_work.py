"""Requests that are read apart from the event loop."""

from __future__ import annotations

import asyncio
import gzip
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import pytest

from serving.errors import ServingError
from serving.protocol import worker
from serving.protocol.http.request_body import BodyError, unzip
from serving.protocol.work import SMALL, Work
from tests.serving.running import Running

LARGE = SMALL + 1


def run(test: Callable[[Work], Coroutine[Any, Any, None]], processes: int = 1) -> None:
    async def start() -> None:
        work = Work(processes)
        try:
            await asyncio.wait_for(test(work), 60)
        finally:
            work.close()

    asyncio.run(start())


def modules() -> list[str]:
    return sorted(name for name in sys.modules if name.startswith("tensorflow"))


def allocate() -> int:
    return len(bytearray(worker.MEMORY))


def leave() -> None:
    sys.exit(3)


def test_what_is_small_is_done_at_once_and_what_is_large_apart() -> None:
    async def test(work: Work) -> None:
        here, apart = [await work.read(size, None, modules) for size in (SMALL, LARGE)]
        assert "tensorflow.python" in here
        assert "tensorflow.python" not in apart

    run(test)


def test_errors_come_back_as_they_were_raised() -> None:
    async def test(work: Work) -> None:
        with pytest.raises(BodyError) as error:
            await work.read(LARGE, None, unzip, b"x" * LARGE, 100)
        assert (error.value.status, error.value.message[:11]) == (400, "The body is")

    run(test)


@pytest.mark.parametrize("function", [allocate, leave])
def test_a_process_that_takes_too_much_or_dies_fails_one_request(function: Callable) -> None:
    async def test(work: Work) -> None:
        with pytest.raises(ServingError, match="more than 1536 MiB of memory"):
            await work.read(LARGE, None, function)
        assert await work.read(LARGE, None, len, b"12") == 2

    run(test)


def test_the_deadline_ends_what_runs_and_what_waits() -> None:
    async def test(work: Work) -> None:
        await work.read(LARGE, None, len, b"12")
        soon = time.monotonic() + 0.05
        calls = [work.read(LARGE, soon, time.sleep, 3600) for _ in range(3)]
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, ServingError)
            assert error.code == grpc.StatusCode.DEADLINE_EXCEEDED
        assert await work.read(LARGE, None, len, b"12") == 2

    run(test)


def test_large_requests_leave_a_process_to_the_others() -> None:
    async def test(work: Work) -> None:
        large = [asyncio.create_task(work.read(1 << 24, None, time.sleep, 3600)) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert await work.read(LARGE, None, len, b"12") == 2
        for task in large:
            task.cancel()
        await asyncio.gather(*large, return_exceptions=True)

    run(test, 2)


def test_a_client_that_goes_away_ends_what_runs() -> None:
    async def test(work: Work) -> None:
        call = asyncio.create_task(work.read(LARGE, None, time.sleep, 3600))
        await asyncio.sleep(0.1)
        call.cancel()
        assert await work.read(LARGE, None, len, b"12") == 2

    run(test)


def test_the_loop_goes_on_meanwhile() -> None:
    """orjson alone would stop it for as long as it takes."""

    async def test(work: Work) -> None:
        from serving.protocol.rest.json_requests import read_examples

        body = b'{"examples":[{"x":[' + b",".join([b"1"] * 1_000_000) + b"]}]}"
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.001)
                turns += 1

        counting = asyncio.create_task(count())
        _, examples = await work.read(len(body), None, read_examples, body)
        counting.cancel()
        assert len(examples[0]) > 1_000_000
        assert turns > 20

    run(test)


def test_bodies_of_every_kind_are_read_in_other_processes(
    colours_server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = colours_server.server.app.state.inference.work
    read, in_process = [], work._in_process

    async def noted(function: Callable, arguments: tuple) -> Any:
        read.append(function.__name__)
        return await in_process(function, arguments)

    monkeypatch.setattr(work, "_in_process", noted)
    model, large = "/v1/models/colours", b" " * SMALL
    for path, kind, body, functions in (
        (":predict", "", b'{"instances":[1]}', ["read_predict"]),
        (":classify", "", b'{"examples":[{"x":1}]}', ["read_examples"]),
        (":regress", "", b'{"examples":[{"x":1}]}', ["read_examples"]),
        (":embed", "image/png", b"none", ["read_questions"]),
        (":neighbours", "multipart/form-data; boundary=x", b"none", ["read_questions"]),
        ("/rows", "", b"{}", ["read_rows"]),
        ("/rows", "application/x-ndjson", b"{}", ["read_lines"]),
    ):
        read.clear()
        colours_server.ask("POST", model + path, body + large, {"Content-Type": kind})
        assert read == functions, path
        read.clear()
        zipped = {"Content-Type": kind, "Content-Encoding": "gzip"}
        colours_server.ask("POST", model + path, gzip.compress(body + large), zipped)
        assert read == ["unzip", *functions], path
    with colours_server.channel() as channel:
        for method in ("Predict", "Classify", "Regress"):
            read.clear()
            call = channel.unary_unary(f"/tensorflow.serving.PredictionService/{method}")
            # The name of the model, and a field that no message has.
            raw = b"\x0a\x09\x0a\x07colours" + b"\x7a\x80\x80\x08" + b" " * (1 << 17)
            with pytest.raises(grpc.RpcError):
                call(raw, timeout=60)
            assert read == ["read_predict" if method == "Predict" else "read_examples"]
