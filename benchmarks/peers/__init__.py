"""PyTorch programs that the benchmarks run beside ours; `pip install -e .[benchmarks]`.

Each is a process of its own, so that the thread pools of two libraries never share one, and does
one run for every line that it reads: see `benchmarks.measuring.Peer`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from benchmarks.measuring import Seconds


def answer(run: Callable[[], object]) -> None:
    """Run once for each line on standard input, and answer with the seconds it took.

    A `run` that timed itself returns `Seconds`.
    """
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        own = run()
        print(own if isinstance(own, Seconds) else time.perf_counter() - start, flush=True)
