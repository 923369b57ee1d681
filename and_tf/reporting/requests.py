"""What the commands that write pages are asked for, checked before anything takes its time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from and_tf.errors import RunError
from and_tf.figures.page import is_ours
from and_tf.runs.commands import run_command
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


def write_pages(work: Callable[[], None], stopped: str) -> int:
    """The work of a command that writes pages, as `and_tf.runs.commands.run_command` does it."""
    return run_command(
        work,
        stopped,
        full_disk="No space left on the disk of --output; no page was written",
        memory="Not enough memory; no page was written",
    )
