"""Forked processes: work that can be killed."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path


def in_child(work: Callable[[], int], kill_after: float | None = None) -> int:
    """The exit status of work done in a forked process, quietly; -9 if it was killed."""
    child = start_child(work)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)  # a child that is done waits to be asked for its status
    return status_of(child)


def start_child(work: Callable[[], int], output: Path = Path(os.devnull)) -> int:
    """The id of a forked process that does some work and ends with its status."""
    child = os.fork()
    if child == 0:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        status = 1
        try:
            status = work()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


def status_of(child: int) -> int:
    """The exit status of a child, which is waited for; -9 if it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def has_ended(child: int) -> bool:
    """Whether a child has a status to be asked for."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def wait_for(condition: Callable[[], bool], seconds: float = math.inf) -> bool:
    """Whether a condition has come true in time."""
    until = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < until:
        time.sleep(0.05)
    return met
