"""HTTP connections that must say what they want within a time."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class TimedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which closes a connection whose request line and headers do not come.

    uvicorn itself ends idle connections after their first answer alone, and lets headers trickle.
    `seconds` count from the connection's start, and from the first byte of each further request.
    """

    def __init__(self, *arguments: Any, seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._seconds = seconds
        self._closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Starts the clock."""
        super().connection_made(transport)
        self._close_later()

    def on_message_begin(self) -> None:
        """Starts the clock again for each request."""
        super().on_message_begin()
        self._close_later()

    def on_headers_complete(self) -> None:
        """Stops the clock: from here on the application knows how long things may take."""
        self._stop_clock()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def _close_later(self) -> None:
        self._stop_clock()
        self._closing = self.loop.call_later(self._seconds, self.transport.close)

    def _stop_clock(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
