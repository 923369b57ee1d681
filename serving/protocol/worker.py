"""A process that reads requests: `python -m serving.protocol.worker`, started by `work`.

It takes functions with their arguments from its standard input and answers on its standard output.
It does not import TensorFlow, whose messages are all that is needed: that would take five seconds
and 400 MB.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pickle
import resource
import signal
import struct
import sys
import types
from collections.abc import Callable
from typing import IO, Any

# Bytes of address space, of which 0.4 GiB are Python and NumPy. What takes more is no request that
# a signature could answer: millions of small JSON objects or arrays.
MEMORY = 3 << 29
TOO_MUCH = f"The request is too complex: reading it takes more than {MEMORY >> 20} MiB of memory"

_PR_SET_PDEATHSIG = 1


def send(file: IO[bytes], value: Any) -> None:
    """Writes a value; large buffers are not copied."""
    buffers: list[pickle.PickleBuffer] = []
    if type(value) is tuple:
        value = tuple(map(_lent, value))
    head = pickle.dumps(_lent(value), protocol=5, buffer_callback=buffers.append)
    pieces = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    file.write(struct.pack("<Q", len(pieces)))
    file.write(struct.pack(f"<{len(pieces)}Q", *(piece.nbytes for piece in pieces)))
    file.writelines(pieces)
    file.flush()


def receive(file: IO[bytes]) -> Any:
    """Reads what `send` wrote.

    Raises:
        EOFError: at the end.
    """
    (count,) = struct.unpack("<Q", _read(file, 8))
    sizes = struct.unpack(f"<{count}Q", _read(file, 8 * count))
    head, *buffers = [_read(file, size) for size in sizes]
    return pickle.loads(head, buffers=buffers)


def main() -> None:
    """Answers until the input ends."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What still runs when the server ends, ends with it.
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(10)
    _leave_out_tensorflow()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    while True:
        try:
            function, *arguments = receive(source)
        except EOFError:
            return
        send(sink, _answer(function, arguments))
        del function, arguments
        _return_freed_memory()


def _answer(function: Callable[..., Any], arguments: list[Any]) -> Any:
    from serving.errors import invalid

    try:
        return function(*arguments)
    except MemoryError:
        return invalid(TOO_MUCH)
    except Exception as error:  # noqa: BLE001  it is raised where it was asked for
        return error


def _leave_out_tensorflow() -> None:
    """Lets the modules below `tensorflow` be imported without the package itself."""
    found = importlib.util.find_spec("tensorflow")
    package = types.ModuleType("tensorflow")
    package.__path__ = list(found.submodule_search_locations or ()) if found else []
    sys.modules["tensorflow"] = package


def _return_freed_memory() -> None:
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def _lent(value: Any) -> Any:
    return pickle.PickleBuffer(value) if isinstance(value, bytes) else value


def _read(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data


if __name__ == "__main__":
    main()
