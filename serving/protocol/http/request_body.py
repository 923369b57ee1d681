"""Request bodies, read within limits before anything else looks at them."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from starlette.types import Receive

# Of a gzip body. Writers of several make blocks of 64 KiB.
MOST_MEMBERS = 1024

_GZIP = 16 + zlib.MAX_WBITS
_PIECE = 1 << 16


class BodyError(Exception):
    """A body that is not taken; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


class Disconnected(Exception):
    """The client went away before its request was complete."""


async def read(
    receive: Receive, declared: bytes | None, largest: int, take: Callable[[int], None]
) -> list[bytes]:
    """The whole body of a request, in the pieces in which it came.

    Args:
        declared: its Content-Length header.
        largest: how many bytes it may have; what is more is not read.
        take: called with the number of bytes before they are kept; see `Room.share`. Only what
            has come is taken, so that a client cannot reserve room by a header alone.

    Raises:
        BodyError: 413 for a larger body, and what `take` raises.
        Disconnected: if the client is gone.
    """
    too_large = BodyError(413, f"A request body may have at most {largest} bytes")
    if declared and declared.isdigit() and int(declared) > largest:
        raise too_large
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > largest:
            raise too_large
        take(len(chunk))
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks


def unzip_small(body: bytes, largest: int) -> bytes | None:
    """As `unzip`, but None for what is, or becomes, larger.

    Raises:
        BodyError: 400 for what is no gzip.
    """
    try:
        return unzip(body, largest) if len(body) <= largest else None
    except BodyError as error:
        if error.status != 413:
            raise
        return None


def unzip(body: bytes, largest: int) -> bytes:
    """A gzip body, decompressed.

    Raises:
        BodyError: 400 for what is no gzip, 413 for what decompresses to more than `largest`
            bytes; no more than those are ever made.
    """
    pieces: list[bytes] = []
    room, members = largest, 0
    source = memoryview(body)
    member = None
    while source or member:
        if member is None:
            # Members may follow one another. Each takes 40 kB to set up, however short it is.
            members += 1
            if members > MOST_MEMBERS:
                raise BodyError(400, f"A gzip body may have at most {MOST_MEMBERS} members")
            member = zlib.decompressobj(_GZIP)
        if not source:
            raise BodyError(400, "The gzip body ends too early")
        # What follows a member is copied at its end: piece by piece that is never much.
        piece, source = source[:_PIECE], source[_PIECE:]
        try:
            pieces.append(member.decompress(piece, room + 1))
        except zlib.error:
            raise BodyError(400, "The body is not in gzip, as its Content-Encoding says") from None
        room -= len(pieces[-1])
        if room < 0:
            raise BodyError(413, f"A request body may decompress to at most {largest} bytes")
        if member.eof:
            unused = len(member.unused_data)
            source = memoryview(body)[len(body) - len(source) - unused :]
            member = None
    return b"".join(pieces)
