"""What the commands have in common."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import io
import logging
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from and_tf.backend import require_tensorflow, set_keras_defaults
from and_tf.errors import RunError
from and_tf.files import is_full_disk
from and_tf.runs.config import ConfigError
from and_tf.runs.paths import shown


def fail(message: str, code: int) -> int:
    """Say what went wrong, and give back the exit code."""
    print(f"error: {message}", file=sys.stderr)
    return code


def add_overrides(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Let a command take `--set KEY=VALUE`, any number of times, as `overrides`."""
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help=f"{purpose}; may be repeated",
    )


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on. Received: {text}")
    return int(text)


@contextlib.contextmanager
def lasting_output() -> Iterator[None]:
    """Let a command outlive whoever reads its output: a pipe, a terminal, a full log.

    What cannot be written is left out from then on; names that are not text are escaped. Ctrl-C raises
    KeyboardInterrupt from here on.
    """
    for descriptor in (0, 1, 2):  # a closed one would become that of the next file
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL and _is_main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # see `and_tf`
    previous = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_Lasting, previous)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = previous


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class _Lasting:
    """A text stream that never fails."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        if self._stream is not None:
            with self._lasting():
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            with self._lasting():
                self._stream.flush()

    def isatty(self) -> bool:
        return self._stream is not None and not self._stream.closed and self._stream.isatty()

    @contextlib.contextmanager
    def _lasting(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):  # gone; or closed by a program
            stream, self._stream = self._stream, None
            if stream is not None:
                with contextlib.suppress(OSError, ValueError):
                    # What Python still holds back goes nowhere when it ends.
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def run_command(work: Callable[[], None], stopped: str, full_disk: str, memory: str) -> int:
    """Do a command's work, and say in one line what ended it before its end.

    Args:
        work: What the command does.
        stopped: What to say after Ctrl-C.
        full_disk, memory: As for `explain`.

    Returns:
        Exit code: 0 done, 2 bad input, 130 stopped by Ctrl-C.
    """
    with lasting_output():
        try:
            require_tensorflow()
            work()
        except KeyboardInterrupt:
            return fail(stopped, 130)
        except Exception as error:
            message = explain(error, full_disk, memory)
            if message is None:
                raise
            return fail(message, 2)
    return 0


def explain(error: Exception, full_disk: str, memory: str) -> str | None:
    """What to tell the user about an error that is not ours; None for a bug.

    Args:
        error: What ended the command.
        full_disk: What to say where the disk is full.
        memory: What to say where there is not enough memory.
    """
    if isinstance(error, ConfigError | RunError):
        return str(error)
    if isinstance(error, PermissionError | NotADirectoryError | FileExistsError) and error.filename:
        return f"{error.strerror}. Received: {shown(error.filename)}"
    if is_full_disk(error):
        return full_disk
    if type(error).__name__ == "DataLossError":  # TensorFlow's, which may not be imported here
        return f"The files of the data set are damaged: {str(error).splitlines()[0]}"
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return memory
    return None


@contextlib.contextmanager
def refusing_bad_input() -> Iterator[None]:
    """What the library refuses with a ValueError here is the user's to mend."""
    try:
        yield
    except ValueError as error:
        raise RunError(str(error)) from error


def import_keras() -> None:
    """Import Keras and TensorFlow as a command wants them: Keras's defaults, and no remarks.

    What TensorFlow says of the machine is kept out, unless TF_CPP_MIN_LOG_LEVEL asks for it. Warnings
    become one line, as the commands' own are.
    """
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is imported
    logging.getLogger("absl").setLevel(logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    set_keras_defaults()
    _quieten_xla()


def have_temporary_folder(folder: Path) -> None:
    """Take a folder for temporary files where there is none to write to: TensorFlow asks for one."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = str(folder)


# Of the Abseil that TensorFlow 2.20 is built with.
_SET_MIN_LOG_LEVEL = "_ZN4absl12lts_2025012714SetMinLogLevelENS0_18LogSeverityAtLeastE"


def _quieten_xla() -> None:
    """Keep out what XLA and gRPC log of their own below errors.

    They heed no TF_CPP_MIN_LOG_LEVEL. With a TensorFlow that is built otherwise, nothing changes.
    """
    import tensorflow as tf

    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":  # somebody wants to read it
        return
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(os.path.join(tf.sysconfig.get_lib(), "libtensorflow_cc.so.2"))
        getattr(library, _SET_MIN_LOG_LEVEL)(2)  # errors
