"""Paired timings of our code, a peer and the floor that the hardware sets, and their report."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Contender = Callable[[], object]
"""Does its work once. If it returns `Seconds`, it timed itself; else the call is timed."""


class Seconds(float):
    """The time that a contender took, as measured by itself."""


class Peer:
    """A program of `benchmarks.peers` in a process of its own; a call is one run of it.

    Args:
        name: Module of `benchmarks.peers`.
        *arguments: Its command-line arguments.

    Raises:
        RuntimeError: It ended, with what it last wrote on standard error left on ours.
    """

    def __init__(self, name: str, *arguments: object) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.peers.{name}", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def __call__(self) -> Seconds:
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return Seconds(self._read())

    def _read(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"benchmarks.peers.{self.name} ended with {self._process.wait()}")
        return line

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def peer(name: str, *arguments: object) -> Iterator[Peer | None]:
    """A running `Peer`, or None, with a word about it, where PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        print("no peer: PyTorch is not installed (pip install -e .[benchmarks])", file=sys.stderr)
        yield None
        return
    running = Peer(name, *arguments)
    try:
        yield running
    finally:
        running.close()


def paired(
    contenders: Mapping[str, Contender | None], repeats: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of every contender, run in turn (A B C A B C ...) so that drift meets all alike.

    Args:
        contenders: By name; those that are None are left out.
        repeats: Counted runs of each.
        warm_up: Runs of each before them.

    Returns:
        `repeats` seconds for each name, in the order they were run.
    """
    seconds: dict[str, list[float]] = {name: [] for name, run in contenders.items() if run}
    for repeat in range(-warm_up, repeats):
        for name, counted in seconds.items():
            start = time.perf_counter()
            own = contenders[name]()
            elapsed = own if isinstance(own, Seconds) else time.perf_counter() - start
            if repeat >= 0:
                counted.append(elapsed)
    return seconds


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Our figure beside the peer's and the floor, medians of paired runs.

    Attributes:
        case: What was measured.
        ours: Seconds.
        peer: Seconds, None where there is none.
        floor: Seconds that the hardware needs for the arithmetic or the memory traffic alone.
        ratio_to_peer: Median of peer / ours over the pairs; above 1 we are faster.
        ratio_to_floor: Median of ours / floor over the pairs.
        more: Other figures by name, numbers or short texts.
    """

    case: str
    ours: float
    peer: float | None
    floor: float | None
    ratio_to_peer: float | None
    ratio_to_floor: float | None
    more: dict[str, object]

    @classmethod
    def of(cls, case: str, seconds: Mapping[str, list[float]], **more: object) -> Comparison:
        """From `paired` seconds of "ours" and, where they were run, "peer" and "floor".

        Any other name in `seconds` is reported by its median.
        """
        ours = seconds["ours"]
        others = {
            f"{name} (s)": statistics.median(runs)
            for name, runs in seconds.items()
            if name not in ("ours", "peer", "floor")
        }
        return cls(
            case,
            ours=statistics.median(ours),
            peer=_median(seconds.get("peer")),
            floor=_median(seconds.get("floor")),
            ratio_to_peer=ratio(seconds.get("peer"), ours),
            ratio_to_floor=ratio(ours, seconds.get("floor")),
            more=others | more,
        )

    def table(self) -> str:
        """Markdown, a figure a line."""
        rows = [("figure", "value"), ("---", "---:")]
        for name in ("ours", "peer", "floor"):
            value = getattr(self, name)
            rows.append((name, "-" if value is None else f"{value:.4g} s"))
        for name in ("ratio_to_peer", "ratio_to_floor"):
            value = getattr(self, name)
            rows.append((name.replace("_", " "), "-" if value is None else f"{value:.2f}"))
        for name, value in self.more.items():
            rows.append((name, f"{value:.4g}" if isinstance(value, float) else str(value)))
        lines = [f"| {name} | {value} |" for name, value in rows]
        return "\n".join([f"**{self.case}**", "", *lines])

    def json(self) -> str:
        """One line."""
        fields = dataclasses.asdict(self)
        return json.dumps(fields.pop("more") | fields)


def _median(seconds: list[float] | None) -> float | None:
    return statistics.median(seconds) if seconds else None


def ratio(above: list[float] | None, below: list[float] | None) -> float | None:
    """Median of the pairwise ratios, None where a side was not run."""
    if not above or not below:
        return None
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def parser(name: str, description: str, repeats: int) -> argparse.ArgumentParser:
    """The options that every benchmark has: `--repeats` and `--json`."""
    options = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    options.add_argument("--repeats", type=int, default=repeats, help="counted runs of each side")
    options.add_argument("--json", action="store_true", help="end with one JSON object")
    return options


def report(comparison: Comparison, as_json: bool) -> None:
    """Print the table, the machine it stands for, and with `as_json` one object on the last line."""
    print(f"{comparison.table()}\n\n{len(os.sched_getaffinity(0))} CPU cores", flush=True)
    if as_json:
        print(comparison.json())
