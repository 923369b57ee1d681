"""The process ends in time, whatever runs."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("work", "says"),
    [
        ("time.sleep(600)", b"Work was still in progress"),
        # Holds the interpreter's lock for years.
        ("re.match('(a+)+$', 'a' * 99 + 'b')", b""),
        # Threads that are not daemons are waited for at the exit.
        ("threading.Thread(target=time.sleep, args=[600]).start()", b"Work was still in progress"),
    ],
)
def test_whatever_runs_is_ended(work: str, says: bytes) -> None:
    program = (
        f"import re, threading, time; from serving import watchdog; watchdog.end_within(1); {work}"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], check=False, cwd=ROOT, stderr=subprocess.PIPE, timeout=60
    )
    assert ended.returncode == 1
    assert says in ended.stderr
