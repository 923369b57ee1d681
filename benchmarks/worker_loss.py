"""The loss of one of two workers, for `benchmarks.faults`."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path

from benchmarks.children import has_ended, in_child, start_child, status_of, wait_for
from benchmarks.small_run import compare, train

WORKERS = 2
ANSWER_SECONDS = 10  # after which a worker that does not answer is given up
START_SECONDS = 300  # in which a run has to have begun
STOP_SECONDS = 60  # in which the other one has to have ended


def train_together(run: Path) -> float:
    """A run of two workers that nothing disturbs; the seconds from its beginning to its end."""
    children = start_workers(run)
    wait_for(lambda: (run / "config.json").exists() or any(map(has_ended, children)), START_SECONDS)
    start = time.monotonic()
    if any(list(map(status_of, children))):  # all are waited for
        raise RuntimeError("The undisturbed run of two workers failed")
    return time.monotonic() - start


def disturb_workers(run: Path, seconds: float, rng: random.Random, undisturbed: Path) -> list[str]:
    """One run of two workers, of which one is killed: what is to be counted of it."""
    children = start_workers(run)
    wait_for(lambda: (run / "config.json").exists() or any(map(has_ended, children)), START_SECONDS)
    time.sleep(rng.uniform(0, 1.1 * seconds))
    victim = rng.randrange(WORKERS)
    os.kill(children[victim], signal.SIGKILL)
    survivor = children[1 - victim]
    stopped = wait_for(lambda: has_ended(survivor), STOP_SECONDS)
    if not stopped:
        os.kill(survivor, signal.SIGKILL)
    disturbed = status_of(children[victim]) != 0
    counted = ["runs", *(["disturbed"] if disturbed else [])]
    # One that was at its end already does not miss the other.
    clear = "does not answer any more" in log_of(run, 1 - victim).read_text(errors="replace")
    status = status_of(survivor)
    if not stopped or not (status == 0 or (disturbed and status == 2 and clear)):
        said = log_of(run, 1 - victim).read_text(errors="replace").splitlines()[-5:]
        print(*said, f"{run.name}: the other worker ended with {status}", sep="\n", file=sys.stderr)
        return [*counted, "lost"]
    if any(statuses := list(map(status_of, start_workers(run)))):
        print(f"{run.name}: started again, workers ended with {statuses}", file=sys.stderr)
        return [*counted, "lost"]
    same = in_child(lambda: compare(run, undisturbed)) == 0
    return [*counted, "recovered", "equal" if same else "other numbers"]


def start_workers(run: Path) -> list[int]:
    """The process ids of the workers of a run, on ports of the loopback interface."""
    with contextlib.ExitStack() as taken:
        ports = []
        for _ in range(WORKERS):
            listener = taken.enter_context(socket.create_server(("127.0.0.1", 0)))
            ports.append(listener.getsockname()[1])
    addresses = [f"127.0.0.1:{port}" for port in ports]

    def work(rank: int) -> int:
        task = {"type": "worker", "index": rank}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        return train(run, "--set", f"train.worker_timeout_seconds={ANSWER_SECONDS}")

    return [
        start_child(functools.partial(work, rank), log_of(run, rank)) for rank in range(WORKERS)
    ]


def log_of(run: Path, rank: int) -> Path:
    """What a worker said when it was last started."""
    return run.with_name(f"{run.name}-worker-{rank}.log")
