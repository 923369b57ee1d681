"""Files: written so that a reader never sees half of one, and named so that a message stays whole."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to a hidden file beside `path`, then rename it into place.

    Yields:
        The path to write to, with the same suffix. If the body succeeds, the file is flushed to the
        disk and takes the place of `path` in one step; otherwise it is removed and `path` stands.
    """
    temporary = path.with_name(f".partial-{path.name}")
    try:
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_full_disk(error: Exception) -> bool:
    """Whether an error, of the operating system or of TensorFlow, is about space on a disk."""
    messages = [os.strerror(code) for code in _NO_SPACE]
    return getattr(error, "errno", None) in _NO_SPACE or any(m in str(error) for m in messages)


def flush_folder(folder: Path) -> None:
    """See to it that all that a folder holds, however deep, is on the disk."""
    for parent, _, names in os.walk(folder):
        for path in (*(os.path.join(parent, name) for name in names), parent):
            flush(Path(path))


def flush(path: Path) -> None:
    """See to it that a file, or the list of what a folder holds, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def printable(name: str) -> str:
    """Return a file's name on one line: what is not UTF-8 or not printable is escaped."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
