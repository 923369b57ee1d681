"""The run directory: one documented shape, written once and never by accident.

config.json      the resolved config
environment.json versions, seed, precision, command, the data set's fingerprint
metrics.jsonl    one JSON object a line: the untrained encoder, every round, every epoch
tensorboard/     the epochs' figures for TensorBoard
checkpoints/     the latest checkpoints, each a whole model
skipped.tsv      images that were left out and why, and labels without an image, if there are any
model.keras      the trained model
model_card.md    what it is, what it was made from and how good it is
report.html      the run on one page, with report.md and the pictures in report/
evaluation.json  what `python -m and_tf.evaluate` found
untrained.evaluation.json  the same of the encoder before its training
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from and_tf.files import write_text
from and_tf.runs.paths import shown


class RunDirectoryError(ValueError):
    """The run directory cannot be used as asked."""


class RunDirectory:
    """A run's directory and the names of what is in it.

    Args:
        path: The directory; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tensorboard"
        self.checkpoints = path / "checkpoints"
        self.skipped = path / "skipped.tsv"
        self.model = path / "model.keras"
        self.model_card = path / "model_card.md"
        self.report = path / "report.html"
        self.evaluation = path / "evaluation.json"
        self.untrained_evaluation = path / "untrained.evaluation.json"
        self._lock = path / ".lock"
        self._is_begun = False
        # The config is last to go and last to come: it marks the directory as a run's.
        self._contents = (
            self.report,
            path / "report.md",
            path / "report",
            self.evaluation,
            self.untrained_evaluation,
            self.model_card,
            self.model,
            self.skipped,
            self.checkpoints,
            self.tensorboard,
            self.metrics,
            self.environment,
            self.config,
        )

    @property
    def holds_run(self) -> bool:
        """Whether a run was begun here."""
        return self.config.is_file()

    @property
    def has_results(self) -> bool:
        """Whether there is anything of a run that is worth keeping: one that is killed early has nothing."""
        return (
            self.model.exists()
            or self.has_checkpoint
            or any(row.get("event") == "epoch" for row in self.read_metrics())
        )

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return any(self.checkpoints.glob("*.keras"))

    @contextlib.contextmanager
    def taken(self, overwrite: bool = False, resume: bool = False) -> Iterator[None]:
        """Keep the directory for this process, to begin a run in it or to go on with one.

        Nothing that is there is touched, apart from what a killed process left half-written. A run
        that fails before it has results leaves nothing.

        Args:
            overwrite: The run that is there may be removed, see `begin`.
            resume: The run that is there may be gone on with.

        Raises:
            RunDirectoryError: It holds a run or anything else and neither was asked for, it is not
                a directory that can be written to, or another process is using it.
        """
        self.check(overwrite, resume)
        is_new = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for folder in (self.path, self.checkpoints):
                if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            lock = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunDirectoryError(
                f"--run-dir cannot be written to: {error.strerror}. Received: {shown(self.path)}"
            ) from None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunDirectoryError(f"Another process is using {shown(self.path)}") from None
            for partial in self.path.rglob(".partial-*"):
                partial.unlink()
            yield
        finally:
            if self._is_begun and not self.has_results:
                self._remove_contents()
            if is_new and not self.holds_run:
                self._remove()
            os.close(lock)

    def check(self, overwrite: bool = False, resume: bool = False) -> None:
        """Make sure, as `taken` does, that a run may begin or go on here.

        Raises:
            RunDirectoryError: It may not.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunDirectoryError(
                f"The run directory is not a directory. Received: {shown(self.path)}"
            )
        if self.holds_run and self.has_results and not (overwrite or resume):
            raise RunDirectoryError(
                f"{shown(self.path)} already holds a run. Use --resume to go on with it, --overwrite to "
                "start anew, or another --run-dir"
            )
        foreign = self._foreign_entries()
        if foreign and not (self.holds_run and resume):
            raise RunDirectoryError(
                f"{shown(self.path)} holds files that are not a run's, which nothing may overwrite. Use "
                f"another --run-dir. Received: {', '.join(foreign[:3])}"
            )

    def _foreign_entries(self) -> list[str]:
        if not self.path.is_dir():
            return []
        known = {*self._contents, self._lock}
        foreign = (entry for entry in self.path.iterdir() if entry not in known)
        return sorted(e.name for e in foreign if not e.name.startswith(".partial-"))

    def _remove(self) -> None:
        """Remove a directory that came to nothing."""
        self._lock.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def begin(self, config: str, environment: dict) -> None:
        """Make this a new run's directory; the run that is there is removed.

        Args:
            config: The resolved config, JSON.
            environment: What the run's numbers depend on beside its config.
        """
        self._remove_contents()
        self._is_begun = True
        write_text(self.environment, json.dumps(environment, indent=2) + "\n")
        write_text(self.config, config)

    def _remove_contents(self) -> None:
        for entry in self._contents:
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)

    def read_environment(self) -> dict:
        """What `environment.json` holds; nothing where it is missing or damaged."""
        try:
            found = json.loads(self.environment.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def append_metrics(self, row: dict) -> None:
        """Add a line to `metrics.jsonl`; numbers that are not finite become null, as JSON wants it."""
        with open(self.metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps(_finite(row), allow_nan=False) + "\n")

    def read_metrics(self) -> list[dict]:
        """All rows of `metrics.jsonl`; a last line that a kill cut short is left out."""
        rows = []
        if self.metrics.exists():
            for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:
                    break
                if not isinstance(row, dict) or not {"event", "epoch"} <= row.keys():
                    break
                rows.append(row)
        return rows

    def rewind_metrics(self, epoch: int, step: int, round_index: int) -> None:
        """Drop the rows written after a checkpoint, for they will be written again.

        Args:
            epoch: Epochs that were over at the checkpoint.
            step: Steps of the next epoch that were done.
            round_index: The round whose neighbourhoods the checkpoint holds.
        """

        def stands(row: dict) -> bool:
            if row["event"] == "round":
                return row["round"] <= round_index
            if row["event"] == "untrained":
                return epoch > 0 or step > 0
            return row["epoch"] <= epoch

        rows = [row for row in self.read_metrics() if stands(row)]
        write_text(self.metrics, "".join(json.dumps(row) + "\n" for row in rows))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
