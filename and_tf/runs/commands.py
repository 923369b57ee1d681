"""What the commands have in common."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

from and_tf.errors import RunError
from and_tf.files import is_full_disk
from and_tf.runs.config import ConfigError


def fail(message: str, code: int) -> int:
    """Say what went wrong, and give back the exit code."""
    print(f"error: {message}", file=sys.stderr)
    return code


def explain(error: Exception, full_disk: str, memory: str) -> str | None:
    """What to tell the user about an error that is not ours; None for a bug.

    Args:
        error: What ended the command.
        full_disk: What to say where the disk is full.
        memory: What to say where there is not enough memory.
    """
    if isinstance(error, ConfigError | RunError):
        return str(error)
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


def quieten() -> None:
    """Keep TensorFlow's remarks on the machine out of the way, unless they were asked for.

    Warnings become one line, as the commands' own are.
    """
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("absl").setLevel(logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
