"""Clients that keep a server busy, in a process of their own: `python -m benchmarks.load URL ...`.

Each client sends the same request again as soon as the answer to the last is there, over one
connection. The requests are ready-made bytes on plain sockets: an HTTP library would take more of
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


async def run(url: str, body: bytes, clients: int, seconds: float, pause: float) -> dict:
    """Let so many clients send for so long.

    Args:
        pause: Seconds that a client waits after an answer other than 200.
    """
    parts = urlsplit(url)
    request = post(url, body)
    statuses: collections.Counter[int] = collections.Counter()
    latencies: list[float] = []
    start = time.perf_counter()

    async def client() -> None:
        reader = writer = None
        while time.perf_counter() - start < seconds:
            sent = time.perf_counter()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
                status, _ = await send(reader, writer, request)
            except (OSError, asyncio.IncompleteReadError):
                status, writer = 0, None
            statuses[status] += 1
            if status == 200:
                latencies.append(time.perf_counter() - sent)
            else:
                await asyncio.sleep(pause)
        if writer is not None:
            writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    elapsed = time.perf_counter() - start
    milliseconds = 1000 * np.array(latencies or [float("nan")])
    return {
        "seconds": elapsed,
        "requests": len(latencies),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "p50": float(np.percentile(milliseconds, 50)),
        "p99": float(np.percentile(milliseconds, 99)),
        "longest": float(milliseconds.max()),
    }


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.load")
    options.add_argument("url")
    options.add_argument("--body", type=Path, required=True, help="file with the request's JSON")
    options.add_argument("--clients", type=int, default=16)
    options.add_argument("--seconds", type=float, default=5)
    options.add_argument("--pause", type=float, default=0.01, help="seconds after a refusal")
    arguments = options.parse_args()
    body = arguments.body.read_bytes()
    for _ in sys.stdin:
        result = asyncio.run(
            run(arguments.url, body, arguments.clients, arguments.seconds, arguments.pause)
        )
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
