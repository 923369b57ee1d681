"""Entries of the access log for HTTP requests."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access_log import AccessLog

REQUEST_ID = "X-Request-Id"
# What nginx writes where the client went away before the answer.
_GONE = 499


class Logged:
    """ASGI middleware that writes every request to the access log, and answers with its id."""

    def __init__(self, app: ASGIApp, log: AccessLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes one request on."""
        with self._log.entry(
            Headers(scope=scope).get(REQUEST_ID),
            client=(scope.get("client") or [None])[0],
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1")[:500],
            code=_GONE,
            received=0,
            sent=0,
        ) as entry:

            async def counted() -> Message:
                message = await receive()
                entry["received"] += len(message.get("body", b""))
                return message

            async def answer(message: Message) -> None:
                if message["type"] == "http.response.start":
                    entry["code"] = message["status"]
                    name = REQUEST_ID.lower().encode()
                    message["headers"] = [
                        *message.get("headers", ()),
                        (name, entry["id"].encode()),
                    ]
                entry["sent"] += len(message.get("body", b""))
                await send(message)

            await self._app(scope, counted, answer)
