"""Ends the process when the time to stop is over, whatever runs."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import threading

# Before the time to stop is over, for what the system frees: gigabytes and what runs on every core take
# a busy machine more than a second.
_MARGIN_SECONDS = 2.0
_MARGIN_SHARE = 0.35

_logger = logging.getLogger(__name__)


def time_left(seconds: float) -> float:
    """Of the seconds to stop, those in which something may still be done."""
    return seconds - min(_MARGIN_SECONDS, _MARGIN_SHARE * seconds)


def end_within(seconds: float) -> None:
    """Ends the process with status 1 before so many seconds are over.

    Threads that do not end, in TensorFlow for one, would keep it. What was taught is on disk before
    it is acknowledged.
    """
    timer = threading.Timer(time_left(seconds), _leave)
    timer.daemon = True
    timer.start()
    # The timer needs the interpreter's lock; faulthandler's thread does without.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    last = time_left(seconds) + 0.1 * (seconds - time_left(seconds))
    faulthandler.dump_traceback_later(last, exit=True, file=nowhere)


def _leave() -> None:
    _logger.warning("Work was still in progress when the time to stop was over")
    # The last thread frees the memory: one that gives way to all others would take long. Only some
    # users may take that back.
    with contextlib.suppress(OSError):
        for thread in os.listdir("/proc/self/task"):
            os.setpriority(os.PRIO_PROCESS, int(thread), os.getpriority(os.PRIO_PROCESS, 0))
    os._exit(1)
