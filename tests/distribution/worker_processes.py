"""Starts the workers of one run as processes on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_addresses(count: int) -> list[str]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


@contextlib.contextmanager
def started(
    count: int, arguments: Sequence[str], folder: pathlib.Path
) -> Iterator[list[subprocess.Popen]]:
    """`python ARGUMENTS` as each of the workers, whose output goes to `folder/worker-RANK.log`.

    `{rank}` in an argument stands for the worker's number.
    """
    addresses = free_addresses(count)
    processes = []
    try:
        for rank in range(count):
            task = {"type": "worker", "index": rank}
            config = json.dumps({"cluster": {"worker": addresses}, "task": task})
            environment = {"TF_CONFIG": config, "TF_CPP_MIN_LOG_LEVEL": "3"}
            with open(folder / f"worker-{rank}.log", "w") as log:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, *(a.replace("{rank}", str(rank)) for a in arguments)],
                        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
                        cwd=folder,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def said(folder: pathlib.Path, rank: int) -> str:
    return (folder / f"worker-{rank}.log").read_text()
