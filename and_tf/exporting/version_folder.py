"""Numbered versions beside each other, each there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from and_tf.errors import RunError
from and_tf.files import flush, flush_folder

# The file that every version of a format holds.
MARKS = {"savedmodel": "saved_model.pb", "onnx": "encoder.onnx", "litert": "encoder.tflite"}
_HIDDEN = ".partial-"


def write_next_version(output: Path, write: Callable[[Path], object]) -> Path:
    """Write a version into a hidden folder, then rename it to the next free number.

    Args:
        output: The folder of all versions; made if it is not there, and removed again if nothing
            came of it.
        write: Fills the folder that it is given, which is empty. Where it fails, nothing is left.

    Returns:
        The version's folder.

    Raises:
        RunError: Another process is writing to `output`.
        OSError: It cannot be written to.
    """
    with _made(output), _locked(output):
        for left_behind in output.glob(f"{_HIDDEN}*"):  # by a process that was killed
            shutil.rmtree(left_behind)
        hidden = output / f"{_HIDDEN}{os.getpid()}"
        try:
            hidden.mkdir()
            write(hidden)
            flush_folder(hidden)
            version = _rename(hidden, output)
        except BaseException:
            shutil.rmtree(hidden, ignore_errors=True)
            raise
        flush(output)
        return version


def check_output(output: Path, file_format: str) -> None:
    """Refuse a path that cannot hold versions of a format.

    Raises:
        RunError: It is a file or lies below one, it is a version itself, or it holds versions of
            another format, which whoever serves the latest version would stumble upon.
    """
    blocking = next((path for path in (output, *output.parents) if path.exists()), output)
    if blocking.exists() and not blocking.is_dir():
        raise RunError(f"--output must be a folder, and {blocking} is a file. Received: {output}")
    if any((output / name).exists() for name in MARKS.values()):
        raise RunError(
            f"--output is itself a version: name the folder of all versions, such as "
            f"{output.parent}. Received: {output}"
        )
    for version in versions(output).values():
        for other, name in MARKS.items():
            if other != file_format and (version / name).exists():
                raise RunError(
                    f"--output holds versions of another format: name another folder for "
                    f"--format {file_format}. Received: {version}, {other}"
                )


def versions(output: Path) -> dict[int, Path]:
    """The versions in a folder by number: every entry whose name is one."""
    entries = output.iterdir() if output.exists() else ()
    return {int(e.name): e for e in entries if e.name.isascii() and e.name.isdigit()}


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder and those above it; where the body fails, remove those that were not there."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in new:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"Another process is exporting to {folder}") from None
        yield
    finally:
        os.close(descriptor)


def _rename(hidden: Path, output: Path) -> Path:
    while True:
        version = output / str(max(versions(output), default=0) + 1)
        try:
            hidden.rename(version)
        except OSError as error:
            # A version of that number was copied into the folder meanwhile.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        else:
            return version
