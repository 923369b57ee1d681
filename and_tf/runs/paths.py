"""Paths that a command is given: what is wrong with one is said with the option that is meant."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from and_tf.errors import RunError
from and_tf.files import printable


def expanded(option: str, path: str | os.PathLike) -> Path:
    """The path, with ~ expanded, which may be looked at; it need not exist.

    Raises:
        RunError: It cannot be looked at or read: another user's, too long, no path.
    """
    given = os.fspath(path)
    try:
        found = Path(given).expanduser()
        mode = os.stat(found).st_mode
        if stat.S_ISDIR(mode):
            os.scandir(found).close()
        elif stat.S_ISREG(mode):  # a pipe is read once
            with open(found, "rb"):
                pass
    except (FileNotFoundError, NotADirectoryError):
        pass  # for whoever wants it to be there
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RunError(f"{option}: {reason.rstrip('.')}. Received: {shown(given)}") from None
    return found


def shown(path: str | os.PathLike) -> str:
    """A path as messages print it: on one line, what is not text escaped, and not endless."""
    text = printable(os.fsdecode(path))
    return text if len(text) <= 200 else f"{text[:197]}..."
