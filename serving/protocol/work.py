"""Where the work of requests is done whose cost grows with the request.

Python's parsers hold the interpreter's lock from beginning to end: in a thread a body of 24 MiB
would stop the event loop for a second, and nothing could end it. So a body of any size is read in a
process of its own, which has a limit of memory and is ended when the deadline is over or the client
is gone. Answers are written in a thread, piece by piece.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from serving.errors import deadline_exceeded, invalid
from serving.protocol import worker

# Bytes of a body, and numbers of an answer, that are so little work that it is done at once.
SMALL = 1 << 16
# Bytes of a body that takes seconds in a bad case.
LARGE = 1 << 20

_T = TypeVar("_T")


class Work:
    """A few processes and threads, which requests take in turn. Belongs to the event loop.

    Processes start when they are first needed, and again after one was ended. Deadlines are points
    of `time.monotonic()`, which event loops keep, or None. `waiting` counts the requests that are
    read, or wait for it.
    """

    def __init__(self, processes: int = 2) -> None:
        self._free = asyncio.Semaphore(processes)
        # So that one is left for those that do not take long.
        self._free_for_large = asyncio.Semaphore(max(1, processes - 1))
        self.waiting = 0
        self._idle: list[_Process] = []
        self._readers = concurrent.futures.ThreadPoolExecutor(processes, "read")
        self._writers = concurrent.futures.ThreadPoolExecutor(processes, "write")

    async def read(
        self, size: int, deadline: float | None, function: Callable[..., _T], *arguments: Any
    ) -> _T:
        """What a function of a module makes of a request of so many bytes.

        Its module is imported in the other process, without TensorFlow. Arguments and result are
        pickled.

        Raises:
            ServingError: DEADLINE_EXCEEDED; INVALID_ARGUMENT if it needs more memory than
                `worker.MEMORY`.
            Exception: what the function raises.
        """
        if size <= SMALL:
            return function(*arguments)
        self.waiting += 1
        try:
            large = self._free_for_large if size > LARGE else contextlib.nullcontext()
            async with asyncio.timeout_at(deadline), large, self._free:
                return await self._in_process(function, arguments)
        except TimeoutError:
            raise deadline_exceeded() from None
        finally:
            self.waiting -= 1

    async def write(
        self, size: int, deadline: float | None, function: Callable[..., _T], *arguments: Any
    ) -> _T:
        """What a function makes of an answer of so many numbers; it must not hold the lock long.

        Raises:
            ServingError: DEADLINE_EXCEEDED; then the function runs on.
            Exception: what the function raises.
        """
        if size <= SMALL:
            return function(*arguments)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(deadline):
                return await loop.run_in_executor(self._writers, function, *arguments)
        except TimeoutError:
            raise deadline_exceeded() from None

    def close(self) -> None:
        """Ends all processes; what is still asked for is answered as if it took too much memory."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._writers.shutdown(wait=False, cancel_futures=True)
        for process in self._idle:
            process.end()

    async def _in_process(self, function: Callable[..., Any], arguments: tuple) -> Any:
        process = self._idle.pop() if self._idle else _Process()
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(self._readers, process.call, function, arguments)
        try:
            answer = await call
        except BaseException:
            # The deadline is over or the client is gone: whatever runs, it ends.
            process.end()
            raise
        self._idle.append(process)
        try:
            if isinstance(answer, Exception):
                raise answer
            return answer
        finally:
            # An error keeps this frame: were it kept by it, the request would stay with both.
            del answer, call


class _Process:
    """A worker, started by its first call. Only `end` may be called from several threads."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._ended = False

    def call(self, function: Callable[..., Any], arguments: tuple) -> Any:
        """What the function returns or, as a value, the exception that it raises. Blocks."""
        with self._lock:
            if self._ended:
                return None
            if self._process is None:
                self._process = _start()
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            worker.send(process.stdin, (function, *arguments))
            return worker.receive(process.stdout)
        except (OSError, EOFError):  # it is gone, by its own limit of memory or by `end`
            with self._lock:
                _stop(process)
                self._process = None
            return invalid(worker.TOO_MUCH)

    def end(self) -> None:
        """Ends the process, whatever it does."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()
                threading.Thread(target=_stop, args=[self._process], daemon=True).start()


def _start() -> subprocess.Popen[bytes]:
    # The modules that this process finds, wherever it was started.
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "-m", worker.__name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        # What was not written any more cannot be.
        with contextlib.suppress(OSError):
            pipe.close()  # type: ignore[union-attr]
