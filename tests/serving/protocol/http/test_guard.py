"""What every HTTP request passes: token, number, size, time."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from serving.protocol.http.answers import json_error
from serving.protocol.http.guard import Guard
from serving.protocol.room import Room
from serving.protocol.work import Work
from serving.settings import Settings


class Application:
    """Echoes bodies at /echo, takes its time at /slow and fails at /broken."""

    def __init__(self) -> None:
        self.started = 0
        self.cancelled = 0
        self.refusals: list[int] = []
        self.go_on = asyncio.Event()

    def app(self, settings: Settings) -> Starlette:
        """The application behind a guard."""
        names = ("echo", "slow", "broken", "healthz")
        return Starlette(
            routes=[
                Route(f"/{name}", getattr(self, name), methods=["GET", "POST"]) for name in names
            ]
            + [Route("/broken/{name}", self.broken)],
            middleware=[
                Middleware(
                    Guard,
                    settings=settings,
                    work=Work(),
                    room=Room(settings.largest_bodies),
                    on_refusal=self.refusals.append,
                )
            ],
        )

    async def echo(self, request: Request) -> Response:
        return Response(await request.body())

    async def slow(self, request: Request) -> Response:
        self.started += 1
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return PlainTextResponse("done")

    async def broken(self, request: Request) -> Response:
        raise RuntimeError("a secret of the inside")

    async def healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok")

    def client(self, **settings: Any) -> httpx.AsyncClient:
        app = self.app(Settings(**settings))
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://localhost"
        )


def run(test: Callable[[Application], Any]) -> None:
    async def start() -> None:
        await test(Application())

    asyncio.run(start())


def error(response: httpx.Response) -> str:
    return json.loads(response.content)["error"]


def test_bodies_up_to_the_limit() -> None:
    async def test(application: Application) -> None:
        async def chunks(count: int) -> Any:
            for _ in range(count):
                yield b"a"

        async with application.client(largest_body=10) as client:
            assert (await client.post("/echo", content=b"a" * 10)).content == b"a" * 10
            assert (await client.post("/echo", content=chunks(10))).content == b"a" * 10
            assert (await client.post("/echo", content=b"a" * 11)).status_code == 413
            assert (await client.post("/echo", content=chunks(11))).status_code == 413
        assert application.refusals == [413, 413]

    run(test)


def test_gzip_within_limits() -> None:
    async def test(application: Application) -> None:
        async with application.client(largest_unzipped_body=1000) as client:

            async def post(body: bytes) -> httpx.Response:
                return await client.post(
                    "/echo", content=body, headers={"Content-Encoding": "gzip"}
                )

            assert (await post(gzip.compress(b"abc"))).content == b"abc"
            two_members = gzip.compress(b"abc") + gzip.compress(b"d" * 997)
            assert (await post(two_members)).content == b"abc" + b"d" * 997
            assert (await post(gzip.compress(b"a" * 1001))).status_code == 413
            assert (await post(gzip.compress(b"\0" * 50_000_000))).status_code == 413
            # Each member takes time and memory of its own, and tells the rest of the body again.
            assert b"1024 members" in (await post(gzip.compress(b"") * 1025)).content
            assert (await post(gzip.compress(b"") * 1024)).content == b""
            for wrong in (b"notgzip", gzip.compress(b"abc")[:-4], gzip.compress(b"abc") + b"x"):
                assert (await post(wrong)).status_code == 400

    run(test)


def test_tokens_open_all_but_the_probes() -> None:
    async def test(application: Application) -> None:
        async with application.client(tokens=("one", "two")) as client:
            assert (await client.get("/healthz")).status_code == 200
            for value in ("", "Bearer", "Bearer three", "Bearer one two", "Basic one"):
                response = await client.get("/echo", headers={"Authorization": value})
                assert response.status_code == 401, value
                assert response.headers["www-authenticate"] == "Bearer"
            for value in ("Bearer one", "bearer two"):
                response = await client.get("/echo", headers={"Authorization": value})
                assert response.status_code == 200, value

    run(test)


def test_strangers_are_refused_before_all_else() -> None:
    async def test(application: Application) -> None:
        async with application.client(tokens=("one",)) as client:
            for path in ("/echo", "/healthz"):
                for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
                    assert (await client.post(path, headers=headers)).status_code == 403
                upgrade = {"Upgrade": "WebSocket", "Connection": "Upgrade"}
                response = await client.get(path, headers=upgrade)
                assert response.status_code == 400
                assert response.headers["connection"] == "close"

    run(test)


def test_too_many_requests_at_a_time() -> None:
    async def test(application: Application) -> None:
        async with application.client(most_requests=2) as client:
            first = [asyncio.create_task(client.get("/slow")) for _ in range(2)]
            while application.started < 2:
                await asyncio.sleep(0.01)
            refused = await client.get("/echo")
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "1"
            assert (await client.get("/healthz")).status_code == 200
            application.go_on.set()
            assert [(await task).status_code for task in first] == [200, 200]
            assert (await client.get("/echo")).status_code == 200

    run(test)


def test_bodies_share_the_room_that_there_is() -> None:
    async def test(application: Application) -> None:
        async with application.client(largest_bodies=100) as client:
            first = asyncio.create_task(client.post("/slow", content=b"a" * 60))
            while not application.started:
                await asyncio.sleep(0.01)
            zipped = {"Content-Encoding": "gzip"}
            for body, headers in ((b"a" * 41, {}), (gzip.compress(b"a" * 80), zipped)):
                refused = await client.post("/echo", content=body, headers=headers)
                assert refused.status_code == 503
                assert refused.headers["retry-after"] == "1"
            assert (await client.post("/echo", content=b"a" * 40)).status_code == 200
            application.go_on.set()
            assert (await first).status_code == 200
            assert (await client.post("/echo", content=b"a" * 100)).status_code == 200

    run(test)


def test_a_request_that_takes_too_long_is_ended() -> None:
    async def test(application: Application) -> None:
        async with application.client(request_timeout=0.01) as client:
            response = await client.get("/slow")
        assert response.status_code == 504
        assert application.cancelled == 1

    run(test)


def test_a_body_that_comes_too_slowly() -> None:
    async def test(application: Application) -> None:
        async def never() -> Any:
            yield b"a"
            await asyncio.sleep(60)

        async with application.client(request_timeout=0.05) as client:
            assert (await client.post("/echo", content=never())).status_code == 408

    run(test)


def test_a_client_that_goes_away_ends_its_request() -> None:
    async def test(application: Application) -> None:
        messages = asyncio.Queue()
        await messages.put({"type": "http.request", "body": b"", "more_body": False})
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/slow",
            "headers": [(b"host", b"localhost")],
        }
        scope |= {"query_string": b"", "raw_path": b"/slow", "root_path": ""}

        async def send(message: Any) -> None:
            raise AssertionError(message)

        app = application.app(Settings())
        request = asyncio.create_task(app(scope, messages.get, send))
        while not application.started:
            await asyncio.sleep(0.01)
        await messages.put({"type": "http.disconnect"})
        await asyncio.wait_for(request, 5)
        assert application.cancelled == 1

    run(test)


def test_failures_tell_nothing_of_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    async def test(application: Application) -> None:
        async with application.client() as client:
            response = await client.get("/broken")
        assert response.status_code == 500
        assert error(response) == "Internal error"

    run(test)
    assert "a secret of the inside" in caplog.text


def test_a_path_is_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async def test(application: Application) -> None:
        async with application.client() as client:
            assert (await client.get("/broken/%0aforged")).status_code == 500

    run(test)
    assert "\nforged" not in caplog.messages[0]


def test_errors_are_json_whatever_they_hold() -> None:
    assert json.loads(json_error(500, '"\n\udc80').body) == {"error": '"\n?'}
