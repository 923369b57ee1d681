"""What every HTTP request passes before it is answered: host, token, number, size, time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable

import grpc
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import ServingError
from serving.protocol import tokens
from serving.protocol.http import request_body
from serving.protocol.http.answers import json_error, refusal
from serving.protocol.http.visitors import Visitors
from serving.protocol.room import Room
from serving.protocol.work import LARGE, SMALL, Work
from serving.settings import Settings

# Probes of an orchestrator, which has no token.
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
# Where the guard leaves the time.monotonic() by which a request is to be answered.
DEADLINE = "serving.deadline"

_logger = logging.getLogger(__name__)


class Guard:
    """ASGI middleware. The application gets requests whose body is complete and decompressed.

    It answers 403 to hosts and pages that do not belong (see `visitors`), 400 to upgrades to other
    protocols, 401 without a token, beyond the number of requests at a time 429, for bodies too
    large 413 or too slow 408, 503 for one that finds no room beside the others, and 504 when the
    time is over. A client that goes away cancels its
    request. What goes wrong inside is logged, and 500 tells no more.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        work: Work,
        room: Room,
        on_refusal: Callable[[int], None],
        open_paths: frozenset[str] = frozenset(),
    ) -> None:
        """`open_paths` need no token and have no limits, as `OPEN_PATHS`; `work` decompresses.

        `on_refusal` is told the status of each request that does not come to the application.
        """
        self._app = app
        self._settings = settings
        self._work = work
        self._open_paths = OPEN_PATHS | open_paths
        self._visitors = Visitors(settings)
        self._active = 0
        self._room = room
        self._on_refusal = on_refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        answer = _Answer(send, self._cors_headers() if self._settings.cors else ())
        headers = dict(scope["headers"])
        refused = self._visitors.refuse(scope, headers)
        if not refused and scope["path"] in self._open_paths:
            await self._app(scope, receive, answer.send)
            return
        refused = refused or self._refuse(scope, headers)
        if refused:
            self._on_refusal(refused.status_code)
            await refused(scope, receive, answer.send)
            return
        self._active += 1
        try:
            with self._room.share() as take:
                await self._guarded(scope, receive, answer, headers, take)
        except request_body.Disconnected:
            pass
        except request_body.BodyError as error:
            self._on_refusal(error.status)
            await json_error(error.status, error.message)(scope, receive, answer.send)
        except ServingError as error:
            self._on_refusal(error.http_status)
            await refusal(error)(scope, receive, answer.send)
        except Exception:
            _logger.exception("%s %r failed", scope["method"], scope["path"])
            if not answer.started:
                await json_error(500, "Internal error")(scope, receive, answer.send)
        finally:
            self._active -= 1

    def _refuse(self, scope: Scope, headers: dict[bytes, bytes]) -> Response | None:
        if self._settings.cors and scope["method"] == "OPTIONS" and b"origin" in headers:
            return Response()
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        if not tokens.may_ask(authorization, self._settings):
            return json_error(401, tokens.NEEDED, {"WWW-Authenticate": "Bearer"})
        if self._active >= self._settings.most_requests:
            return refusal(
                ServingError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many requests at a time", retry_after=1
                )
            )
        return None

    async def _guarded(
        self,
        scope: Scope,
        receive: Receive,
        answer: _Answer,
        headers: dict[bytes, bytes],
        take: Callable[[int], None],
    ) -> None:
        scope[DEADLINE] = time.monotonic() + self._settings.request_timeout
        pieces = await self._body(receive, headers, take)
        zipped = headers.get(b"content-encoding", b"").strip().lower() in (b"gzip", b"x-gzip")

        async def replay() -> Message:
            nonlocal pieces, zipped
            if zipped:
                # Only now: whether the model is there, for one, is known without the body.
                pieces = [await self._unzipped(b"".join(pieces), scope[DEADLINE], take)]
                zipped = False
            if not pieces:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        handler = asyncio.ensure_future(self._app(scope, replay, answer.send))
        gone = asyncio.ensure_future(_disconnection(receive))
        try:
            await asyncio.wait(
                {handler, gone},
                # A little later than whoever keeps the deadline inside, who knows what to say.
                timeout=scope[DEADLINE] - time.monotonic() + 0.5,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if handler.done():
                await handler
            elif not gone.done() and not answer.started:
                await json_error(504, "The request took too long")(scope, receive, answer.send)
        finally:
            for task in (handler, gone):
                if not task.done():
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        await task
            # A task keeps its error, and that this frame.
            del handler, gone, task

    async def _body(
        self, receive: Receive, headers: dict[bytes, bytes], take: Callable[[int], None]
    ) -> list[bytes]:
        settings = self._settings
        try:
            async with asyncio.timeout(settings.request_timeout):
                return await request_body.read(
                    receive, headers.get(b"content-length"), settings.largest_body, take
                )
        except TimeoutError:
            raise request_body.BodyError(408, "The request body came too slowly") from None

    async def _unzipped(self, body: bytes, deadline: float, take: Callable[[int], None]) -> bytes:
        largest = self._settings.largest_unzipped_body
        plain = request_body.unzip_small(body, min(largest, SMALL))
        if plain is None:
            plain = await self._work.read(LARGE, deadline, request_body.unzip, body, largest)
        take(max(0, len(plain) - len(body)))
        return plain

    def _cors_headers(self) -> Iterable[tuple[bytes, bytes]]:
        guarded = self._settings.tokens or self._settings.admin_tokens
        allowed = b"Content-Type, Authorization" if guarded else b"Content-Type"
        return (
            (b"access-control-allow-origin", b"*"),
            (b"access-control-allow-methods", b"POST, GET"),
            (b"access-control-allow-headers", allowed),
        )


class _Answer:
    """Passes an answer on with more headers, and knows whether it has started."""

    def __init__(self, send: Send, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.started = False
        self._send = send
        self._headers = list(headers)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            if self._headers:
                message["headers"] = [*message.get("headers", ()), *self._headers]
        await self._send(message)


async def _disconnection(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
