"""How many connections a port may hold: each of them is an open file of the process."""

from __future__ import annotations

import resource
import socket
import weakref

# For models, rows, pipes and the log.
_KEPT = 96
_MOST = 8192


def most_connections() -> int:
    """The connections of one port of two.

    Without files left nothing is accepted, which asyncio says thousands of times a second.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else max(1, min((soft - _KEPT) // 2, _MOST))


class LimitedListener(socket.socket):
    """A listening socket that closes the connections on top of `most_connections`.

    It counts those that have not shaken hands over TLS, too, which no protocol knows of.
    """

    def __init__(self, family: int) -> None:
        # asyncio sends at once (TCP_NODELAY) where the protocol is named; `create_server` does not
        # name it, and then an answer of two packets waits 40 ms for the client to acknowledge one.
        super().__init__(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._most = most_connections()

    def accept(self) -> tuple[socket.socket, object]:
        """As `socket.accept`; BlockingIOError for a connection that was closed at once."""
        accepted, address = super().accept()
        self._open.add(accepted)
        if len(self._open) > self._most:
            self._open = weakref.WeakSet(one for one in self._open if one.fileno() >= 0)
        if len(self._open) > self._most:
            self._open.discard(accepted)
            accepted.close()
            raise BlockingIOError
        return accepted, address
