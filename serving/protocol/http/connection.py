"""HTTP connections that must say what they want within a time and a size."""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Of a request line with headers, of trailers, or of what stands between two chunks of a body.
MOST_BYTES = 1 << 16


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which closes a connection whose headers do not come, or do not end.

    uvicorn itself ends idle connections after their first answer alone, lets headers trickle, and
    takes any number of them. `seconds` count from the connection's start, and from the first byte
    of each further request. Bytes are counted by what arrives together, so not to the byte.
    """

    def __init__(self, *arguments: Any, seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._seconds = seconds
        self._closing: asyncio.TimerHandle | None = None
        self._unread = 0

    # asyncio declares any transport, uvicorn the one that streams have.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock."""
        super().connection_made(transport)
        self._close_later()

    def data_received(self, data: bytes) -> None:
        """Closes the connection if too much has come that is neither body nor whole headers."""
        self._unread += len(data)
        super().data_received(data)
        if self._unread > MOST_BYTES:
            self.transport.close()

    def on_message_begin(self) -> None:
        """Starts the clock again for each request."""
        self._unread = 0
        super().on_message_begin()
        self._close_later()

    def on_headers_complete(self) -> None:
        """Stops the clock: from here on the application knows how long things may take."""
        self._stop_clock()
        self._unread = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Passes a part of the body on, which has limits of its own."""
        self._unread = 0
        super().on_body(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def _unsupported_upgrade_warning(self) -> None:
        """Goes on with HTTP/1.1 after an offer to speak something else, without a line in the log.

        uvicorn's parser stays where it is, and takes no further request of the connection.
        """
        self.parser = httptools.HttpRequestParser(self)

    def _close_later(self) -> None:
        self._stop_clock()
        self._closing = self.loop.call_later(self._seconds, self.transport.close)

    def _stop_clock(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
