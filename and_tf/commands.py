"""What the commands have in common."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

from and_tf.errors import RunError


def fail(message: str, code: int) -> int:
    """Say what went wrong, and give back the exit code."""
    print(f"error: {message}", file=sys.stderr)
    return code


@contextlib.contextmanager
def refusing_bad_input() -> Iterator[None]:
    """What the library refuses with a ValueError here is the user's to mend."""
    try:
        yield
    except ValueError as error:
        raise RunError(str(error)) from error


def quieten() -> None:
    """Keep TensorFlow's remarks on the machine out of the way, unless they were asked for."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("absl").setLevel(logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
