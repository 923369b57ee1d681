"""A server under hostile requests: `python -m benchmarks.hostile --seconds 600`.

First each attack of `hostile_requests` alone, among them every kind of body at its largest allowed
size: the seconds until it is answered, the memory that the server and its processes take for it at most, and
the longest that `/healthz` took meanwhile, in milliseconds. Then all of them, by `--attackers` clients, and
connections that say nothing, beside two clients that behave: one embeds an image every 50 ms, one
asks for `/healthz` every 50 ms. Their latencies are compared with those before the attacks, and so is
the server's memory. Last the server is told to stop while it is attacked.

Without `--export` an untrained encoder with 50,000 random rows is exported.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import http.client
import itertools
import json
import multiprocessing
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import grpc
import numpy as np

from benchmarks.hostile_requests import Attack, attacks
from benchmarks.serving import write_export
from benchmarks.serving_requests import json_body, png

SHUTDOWN_SECONDS = 5
LONGEST_SECONDS = 120


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--export", type=Path, help="folder of versions of an export")
    parser.add_argument("--encoder", default="resnet18", help="where there is no --export")
    parser.add_argument("--seconds", type=float, default=600, help="of all attacks together")
    parser.add_argument("--quiet-seconds", type=float, default=20, help="before them")
    parser.add_argument("--attackers", type=int, default=4)
    parser.add_argument("--idle", type=int, default=400, help="connections that say nothing")
    parser.add_argument("--only", help="a pattern for the names of attacks")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    made = {name: make() for name, make in attacks().items() if re.search(args.only or "", name)}
    with tempfile.TemporaryDirectory() as folder:
        export = args.export or write_export(Path(folder) / "export", args.encoder, 50_000)
        with Server(export, Path(folder)) as server:
            found = attack(args, server, made)
    if args.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        if isinstance(value, dict):
            value = "  ".join(f"{key} {one}" for key, one in value.items())
        print(f"{name:42} {value}")


def attack(args: argparse.Namespace, server: Server, made: dict[str, Attack]) -> dict[str, object]:
    """What becomes of the server, by name."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as clients:

        def behave(seconds: float) -> Callable[[], dict[str, dict[str, object]]]:
            body = json_body("embed_bytes", png(32))
            tasks = {
                "embed": clients.submit(
                    ask, server.url, "POST", "/v1/models/bench:predict", body, seconds
                ),
                "health": clients.submit(ask, server.url, "GET", "/healthz", b"", seconds),
            }
            return lambda: {name: task.result() for name, task in tasks.items()}

        behave(2)()  # warms up
        quiet = behave(args.quiet_seconds)()
        found: dict[str, object] = {f"{name}, quiet": one for name, one in quiet.items()}
        for name, one in made.items():
            found[name] = alone(server, one)
        with attacked(args, server, made):
            behave(5)()
        found["memory before, MB"] = server.megabytes()
        with idle_connections(server, args.idle), attacked(args, server, made):
            result = behave(args.seconds)()
        found |= {f"{name}, attacked": one for name, one in result.items()}
        found["memory after, MB"] = server.megabytes()
        with attacked(args, server, made):
            time.sleep(2)
            found["seconds from SIGTERM to the end"] = server.stop()
    found["bytes of the log"] = server.log.stat().st_size
    return found


def ask(url: str, method: str, path: str, body: bytes, seconds: float) -> dict[str, object]:
    """Sends a request every 50 ms, or as soon as the last is answered: statuses and milliseconds."""
    end, times, statuses = time.monotonic() + seconds, [], {}
    connection = None
    while (start := time.monotonic()) < end:
        try:
            if connection is None:
                connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
            connection.request(method, path, body)
            response = connection.getresponse()
            response.read()
            status = str(response.status)
        except OSError as error:
            status, connection = type(error).__name__, None
        times.append(1000 * (time.monotonic() - start))
        statuses[status] = statuses.get(status, 0) + 1
        time.sleep(max(0.0, start + 0.05 - time.monotonic()))
    p50, p99 = np.percentile(times, [50, 99])
    figures = {"p50": p50, "p99": p99, "longest": max(times)}
    return {"statuses": statuses} | {name: round(float(one), 1) for name, one in figures.items()}


def alone(server: Server, one: Attack) -> dict[str, object]:
    """The answer to one attack, the seconds until it came, and the memory that it took."""
    before, done = server.megabytes(), threading.Event()
    peak, health = [before], {"longest": 0.0}

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], server.megabytes())

    watching = threading.Thread(target=watch)
    watching.start()
    start = time.monotonic()
    asking = threading.Thread(target=lambda: health.update(ask_health(server, done)))
    asking.start()
    status = send(server, one)
    seconds = time.monotonic() - start
    done.set()
    watching.join()
    asking.join()
    found = {"status": status, "seconds": round(seconds, 2), "MB": round(peak[0] - before)}
    return found | {"/healthz ms": health["longest"]}


def ask_health(server: Server, done: threading.Event) -> dict[str, float]:
    """The longest that `/healthz` took until `done`, asked every 5 ms, in milliseconds."""
    longest = 0.0
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=LONGEST_SECONDS)
    with contextlib.closing(connection):
        while not done.wait(0.005):
            start = time.monotonic()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            longest = max(longest, 1000 * (time.monotonic() - start))
    return {"longest": round(longest, 1)}


@contextlib.contextmanager
def attacked(args: argparse.Namespace, server: Server, made: dict[str, Attack]) -> Iterator[None]:
    """All attackers until the block ends, and then until their last requests are answered."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=repeat, args=[server, made, stop, seed], daemon=True)
        for seed in range(args.attackers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(LONGEST_SECONDS)


def repeat(server: Server, made: dict[str, Attack], stop: threading.Event, seed: int) -> None:
    """Sends all attacks again and again, each time in another order."""
    order, rng = list(made.values()), random.Random(seed)
    while not stop.is_set():
        rng.shuffle(order)
        for one in itertools.takewhile(lambda _: not stop.is_set(), order):
            send(server, one)


def send(server: Server, one: Attack) -> str:
    """Sends one attack; returns its status, or what became of the connection."""
    if one.grpc:
        options = [("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(server.grpc_address, options=options) as channel:
            method = f"/tensorflow.serving.PredictionService/{one.path}"
            try:
                channel.unary_unary(method)(one.body, timeout=LONGEST_SECONDS)
            except grpc.RpcError as error:
                return error.code().name
            return "OK"
    address = urlsplit(server.url).netloc
    connection = http.client.HTTPConnection(address, timeout=LONGEST_SECONDS)
    try:
        headers = {"Content-Type": one.kind}
        headers |= {"Content-Encoding": "gzip"} if one.zipped else {}
        connection.request("POST", one.path, one.body, headers)
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


@contextlib.contextmanager
def idle_connections(server: Server, count: int) -> Iterator[None]:
    """Half of them to each port."""
    ports = [urlsplit(server.url).port, int(server.grpc_address.rpartition(":")[2])]
    with contextlib.ExitStack() as stack:
        for port, _ in itertools.product(ports, range(count // 2)):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        yield


class Server:
    """A server of an export as the model `bench`, until the block ends."""

    def __init__(self, export: Path, folder: Path) -> None:
        self.log = folder / "hostile.log"
        self._log = self.log.open("w")
        command = ["serving", "--model", f"bench={export}", "--rest-port", "0", "--grpc-port", "0"]
        command += ["--shutdown-timeout", str(SHUTDOWN_SECONDS)]
        command += ["--rows-dir", str(self.log.with_name("taught"))]
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The server ended with {self._process.wait()}")
        self.url, self.grpc_address = re.search(r"REST at (\S+), gRPC at (\S+)", line).groups()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def megabytes(self) -> float:
        """Resident memory of the process and those that it has started."""
        total, waiting = 0.0, [self._process.pid]
        while waiting:
            folder = Path(f"/proc/{waiting.pop()}")
            with contextlib.suppress(OSError):
                rss = re.search(r"VmRSS:\s+(\d+)", (folder / "status").read_text())
                total += int(rss[1]) / 1024 if rss else 0
                for task in (folder / "task").iterdir():
                    waiting += map(int, (task / "children").read_text().split())
        return round(total)

    def stop(self) -> float:
        """Seconds from SIGTERM to the end of the process."""
        start = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10 * SHUTDOWN_SECONDS)
        return round(time.monotonic() - start, 2)


if __name__ == "__main__":
    main()
