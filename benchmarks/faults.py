"""Runs that meet a fault and go on: `python -m benchmarks.faults --runs 50`.

A small run on the digits is disturbed at a random moment, then resumed to its end, and its model
compared with that of a run that nothing disturbed, number by number. The faults:

    kill: SIGKILL
    disk: no file can grow beyond a random size below that of a checkpoint, as on a full disk
    truncated: SIGKILL, and the latest checkpoint is cut short
    worker: of two workers on this machine one gets SIGKILL; the other has to end by itself, in time
        and with the reason, and both are started again. The run is compared with one of two workers
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.children import in_child
from benchmarks.small_run import compare, train
from benchmarks.worker_loss import disturb_workers, train_together

FAULTS = ("kill", "disk", "truncated", "worker")


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.faults")
    options.add_argument("--runs", type=int, default=50)
    options.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS)
    options.add_argument("--seed", type=int, default=0, help="of the moments")
    options.add_argument("--json", action="store_true", help="end with one JSON object")
    args = options.parse_args()
    rng = random.Random(args.seed)
    outcomes = {fault: collections.Counter() for fault in args.faults}
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = Path(folder) / "undisturbed"
        import_all()
        start = time.monotonic()
        if in_child(lambda: train(undisturbed)) != 0:
            raise RuntimeError("The undisturbed run failed")
        seconds = time.monotonic() - start
        together = Path(folder) / "together"
        if "worker" in args.faults:
            seconds_together = train_together(together)
        for number in range(args.runs):
            fault = args.faults[number % len(args.faults)]
            run = Path(folder) / f"run-{number}"
            if fault == "worker":
                counted = disturb_workers(run, seconds_together, rng, together)
            else:
                counted = disturb(fault, run, seconds, rng, undisturbed)
            outcomes[fault].update(counted)
    print(table(outcomes))
    if args.json:
        print(json.dumps({fault: dict(counted) for fault, counted in outcomes.items()}))
    if any(counted["lost"] or counted["other numbers"] for counted in outcomes.values()):
        sys.exit(1)


def disturb(
    fault: str, run: Path, seconds: float, rng: random.Random, undisturbed: Path
) -> list[str]:
    """One run: what is to be counted of it."""
    if fault == "disk":
        largest = max(path.stat().st_size for path in (undisturbed / "checkpoints").iterdir())
        size = rng.randrange(largest)
        status = in_child(lambda: with_files_up_to(size, lambda: train(run)))
    else:
        status = in_child(lambda: train(run), kill_after=rng.uniform(0, 1.1 * seconds))
    counted = ["runs", *(["disturbed"] if status != 0 else [])]
    checkpoints = sorted((run / "checkpoints").glob("*.keras"))
    if fault == "truncated" and checkpoints:
        os.truncate(checkpoints[-1], rng.randrange(checkpoints[-1].stat().st_size))
    if in_child(lambda: train(run)) != 0:
        return [*counted, "lost"]
    same = in_child(lambda: compare(run, undisturbed)) == 0
    return [*counted, "recovered", "equal" if same else "other numbers"]


def import_all() -> None:
    """Import once what every child needs; TensorFlow itself must start in each child anew."""
    import and_tf.runs.assembly
    import and_tf.runs.checkpoints
    import and_tf.runs.progress
    import and_tf.runs.summary
    import and_tf.train  # noqa: F401


def with_files_up_to(size: int, work: Callable[[], int]) -> int:
    """Work, while no file can grow beyond a size in bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing fails instead, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return work()


def table(outcomes: dict[str, collections.Counter]) -> str:
    """Markdown, a fault a line."""
    columns = ("runs", "disturbed", "recovered", "lost", "equal", "other numbers")
    lines = [f"| fault | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    for fault, counted in outcomes.items():
        lines.append(f"| {fault} | {' | '.join(str(counted[name]) for name in columns)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
