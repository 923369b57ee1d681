"""Clients that keep a server busy, in a process of their own: `python -m benchmarks.load URL ...`.

Each client sends the same request again as soon as the answer to the last is there, over one
connection. With `--rate`, requests are sent at that rate whatever becomes of those before. The requests are ready-made bytes on plain sockets: an HTTP library would take more of
the two cores than the server's own protocol does. Every line on standard input is a run; a line of
JSON answers it:

    seconds, requests: how long the run took, and how many answers came in it
    statuses: answers by HTTP status, "0" for a connection that broke
    p50, p99, longest: milliseconds, of answers with status 200
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np


async def send(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bytes]:
    """Send a request on a kept connection; return the answer's status and body."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    status, _, headers = head.partition(b"\r\n")
    length = 0
    for line in headers.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return int(status.split()[1]), await reader.readexactly(length)


def post(url: str, body: bytes) -> bytes:
    """The bytes of an HTTP request that posts JSON."""
    parts = urlsplit(url)
    return (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Clients:
    """Connections to a server, and what came of the requests sent over them.

    Args:
        url: Where the requests go.
        body: The JSON of every request.
        pause: Seconds that a client waits after an answer other than 200.
    """

    def __init__(self, url: str, body: bytes, pause: float) -> None:
        self._address = urlsplit(url).hostname, urlsplit(url).port
        self._request = post(url, body)
        self._pause = pause
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.statuses: collections.Counter[int] = collections.Counter()
        self.latencies: list[float] = []

    async def send_one(self) -> int:
        """Send a request over a connection that is free, or a new one; return its status."""
        sent = time.perf_counter()
        try:
            connection = self._idle.pop() if self._idle else None
            connection = connection or await asyncio.open_connection(*self._address)
            status, _ = await send(*connection, self._request)
            self._idle.append(connection)
        except (OSError, asyncio.IncompleteReadError):
            status = 0
        self.statuses[status] += 1
        if status == 200:
            self.latencies.append(time.perf_counter() - sent)
        return status

    async def send_again_and_again(self, seconds: float) -> None:
        """One client's requests, one after the other."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            if await self.send_one() != 200:
                await asyncio.sleep(self._pause)

    async def send_at_rate(self, seconds: float, rate: float) -> None:
        """So many requests a second, all answers awaited."""
        start = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(round(seconds * rate)):
                await asyncio.sleep(start + number / rate - time.perf_counter())
                tasks.create_task(self.send_one())

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def run(arguments: argparse.Namespace, body: bytes) -> dict:
    """One run; see the top of this module for what it gives."""
    clients = Clients(arguments.url, body, arguments.pause)
    start = time.perf_counter()
    if arguments.rate:
        await clients.send_at_rate(arguments.seconds, arguments.rate)
    else:
        sending = (
            clients.send_again_and_again(arguments.seconds) for _ in range(arguments.clients)
        )
        await asyncio.gather(*sending)
    elapsed = time.perf_counter() - start
    clients.close()
    milliseconds = 1000 * np.array(clients.latencies or [float("nan")])
    return {
        "seconds": elapsed,
        "requests": len(clients.latencies),
        "statuses": {str(status): count for status, count in sorted(clients.statuses.items())},
        "p50": float(np.percentile(milliseconds, 50)),
        "p99": float(np.percentile(milliseconds, 99)),
        "longest": float(milliseconds.max()),
    }


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.load")
    options.add_argument("url")
    options.add_argument("--body", type=Path, required=True, help="file with the request's JSON")
    options.add_argument("--clients", type=int, default=16)
    options.add_argument("--rate", type=float, help="requests a second, in place of clients")
    options.add_argument("--seconds", type=float, default=5)
    options.add_argument("--pause", type=float, default=0.01, help="seconds after a refusal")
    arguments = options.parse_args()
    body = arguments.body.read_bytes()
    for _ in sys.stdin:
        result = asyncio.run(run(arguments, body))
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
