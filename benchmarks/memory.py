"""What a piece of work adds to the memory of its process, at its highest (Linux)."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_PROCESS = Path("/proc/self")


def peak_megabytes(work: Callable[[], object]) -> float:
    """Call `work` once; the most resident memory during it beyond what there was before.

    Memory that the process freed earlier and kept for itself is given back first: its use again
    would not be seen.
    """
    before = resident_megabytes()
    (_PROCESS / "clear_refs").write_text("5")  # the high-water mark starts again from here
    work()
    return _status("VmHWM") / 1000 - before


def resident_megabytes() -> float:
    """What the process holds now, without the memory that it freed and kept for itself."""
    ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS") / 1000


def peak_of(module: str, *arguments: object) -> float:
    """The number that `python -m module ...`, a fresh process, prints on its last line."""
    finished = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(finished.stdout.split()[-1])


def _status(field: str) -> float:
    """Of this process, in units of 1,000 bytes."""
    for line in (_PROCESS / "status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1.024
    raise RuntimeError(f"/proc/self/status has no {field}")
