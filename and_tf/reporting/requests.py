"""What the commands that write pages are asked for, checked before anything takes its time."""

from __future__ import annotations

from pathlib import Path

from and_tf.errors import RunError
from and_tf.figures.page import is_ours
from and_tf.runs import commands
from and_tf.runs.paths import expanded, shown
from and_tf.runs.run_directory import RunDirectory


def run_at(path: str) -> RunDirectory:
    """The run in a directory.

    Raises:
        RunError: There is none.
    """
    run = RunDirectory(expanded("RUN", path))
    if not run.holds_run:
        raise RunError(
            f"There is no run of and_tf.train (no config.json) here. Received: {shown(run.path)}"
        )
    return run


def writable(folder: Path, page: str) -> Path:
    """The folder, made if need be, that a page of ours may be written to, `NAME.html`.

    Raises:
        RunError: A file of that name is there that is not ours.
        OSError: It cannot be made.
    """
    if not is_ours(folder / page):
        raise RunError(
            f"{shown(folder / page)} was not written by this command, and stays. Name another --output"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def explain(error: Exception) -> str | None:
    """What to tell the user about an error that is not ours; None for a bug."""
    if isinstance(error, PermissionError | NotADirectoryError | FileExistsError) and error.filename:
        return f"{error.strerror}. Received: {shown(error.filename)}"
    return commands.explain(
        error,
        full_disk="No space left on the disk of --output; no page was written",
        memory="Not enough memory; no page was written",
    )
