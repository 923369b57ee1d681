"""Checkpoints: whole models on disk, from which a run goes on as if it had never stopped."""

from __future__ import annotations

import dataclasses
import re
import sys
import time
import zipfile
from collections.abc import Collection
from pathlib import Path

import keras

import and_tf.data.augment
import and_tf.method.optimizer  # noqa: F401, a checkpoint holds these: importing registers them
from and_tf.distribution.workers import ALONE, Workers
from and_tf.errors import CheckpointError
from and_tf.files import replacing
from and_tf.method.model import AND
from and_tf.method.model_checks import Bank
from and_tf.method.sharded_bank import ShardedBank
from and_tf.runs.watchdog import check_finite


@dataclasses.dataclass(frozen=True)
class Position:
    """How far training has come: `epoch` epochs are over, and `step` steps of the next one."""

    epoch: int
    step: int

    @classmethod
    def of(cls, model: AND, batch_size: int) -> Position:
        """Where a model stands: every epoch shows it each example once."""
        epoch, examples = divmod(model.examples_seen, model.num_examples)
        return cls(epoch, examples // batch_size)

    def checkpoint_in(self, folder: Path) -> Path:
        """Where in a folder of checkpoints the one of this position lies, if there is one."""
        return folder / f"epoch-{self.epoch:06d}-step-{self.step:08d}.keras"


class Checkpoints:
    """A folder of `.keras` files, one for each position saved.

    A file holds everything: weights, batch statistics, optimiser, bank and neighbourhood table. It
    appears whole or not at all, and the one before it is removed only afterwards.

    Args:
        folder: Created at the first save.
        batch_size: Of the run.
        keep: How many of the latest checkpoints are kept.
        keep_epochs: Checkpoints after so many epochs are kept for good, for instance those that end
            a round.
        workers: Who trains together: the chief alone writes, all can read.
    """

    def __init__(
        self,
        folder: Path,
        batch_size: int,
        keep: int = 2,
        keep_epochs: Collection[int] = (),
        workers: Workers = ALONE,
    ) -> None:
        self.folder = folder
        self.batch_size = batch_size
        self.keep = keep
        self.keep_epochs = keep_epochs
        self.workers = workers

    def paths(self) -> list[Path]:
        """The checkpoints at hand, latest first."""
        return sorted(self.folder.glob("epoch-*.keras"), reverse=True)

    def _is_kept(self, path: Path) -> bool:
        epoch, step = map(int, re.findall(r"\d+", path.name))
        return step == 0 and epoch in self.keep_epochs

    def save(self, model: AND) -> Path:
        """Write the model's checkpoint unless it is there already. All workers call it.

        Raises:
            NonFiniteError: The model is not worth keeping. Earlier checkpoints stand.
            OSError: It could not be written, for instance on a full disk. Earlier ones stand.
        """
        position = Position.of(model, self.batch_size)
        path = position.checkpoint_in(self.folder)
        if self.workers.anyone(self.workers.is_chief and not path.exists()):
            check_finite(model)
            if self.workers.is_chief:
                self.folder.mkdir(parents=True, exist_ok=True)
            save_model(model, path, self.workers)
            for old in self.paths()[self.keep :] if self.workers.is_chief else ():
                if not self._is_kept(old):
                    old.unlink()
        return path

    def load_latest(self, bank: Bank | None = None) -> AND | None:
        """The latest model that can be read, or None if there is no checkpoint.

        A file that cannot be read gets the ending `.unreadable` once an earlier one could.

        Args:
            bank: As `AND` takes it. None leaves it as it was saved.

        Raises:
            CheckpointError: There are checkpoints, and none of them can be read.
        """
        unreadable = []
        for path in self.paths():
            try:
                model = read_model(path, bank=bank)
            except CheckpointError as error:
                unreadable.append((path, str(error)))
                continue
            for broken, reason in unreadable if self.workers.is_chief else ():
                print(f"warning: left out checkpoint {broken.name}: {reason}", file=sys.stderr)
                broken.rename(broken.with_suffix(".unreadable"))
            return model
        if unreadable:
            path, reason = unreadable[0]
            raise CheckpointError(
                f"No checkpoint in {self.folder} can be read; restore one, or begin anew with "
                f"--overwrite. Received: {path.name}: {reason}"
            )
        return None


def save_model(model: AND, path: Path, workers: Workers) -> None:
    """Have the chief write a model's `.keras` file, whole or not at all. All workers call it.

    Raises:
        OSError: It could not be written.
    """
    if workers.is_chief:
        with replacing(path) as temporary:
            model.save(temporary)
    elif isinstance(model.bank, ShardedBank):
        model.bank.numpy()  # the chief's saving asks all for their shards


def read_model(path: Path, compile: bool = True, bank: Bank | None = None) -> AND:
    """A model from its `.keras` file, with its optimiser unless `compile` is false.

    The file's checksums are compared first: HDF5 does not notice all damage by itself.

    Args:
        path: The file.
        compile: Whether to have the optimiser as well.
        bank: As `AND` takes it. None leaves it as it was saved.

    Raises:
        CheckpointError: It cannot be read; the text is the reason.
    """
    try:
        _check_sums(path)
        with keras.saving.custom_object_scope({"and_tf>AND": _With(bank)} if bank else {}):
            return keras.models.load_model(path, compile=compile)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        reason = str(error).strip() or repr(error)
        raise CheckpointError(reason.splitlines()[0]) from error


class _With:
    """Stands in for `AND` where Keras makes a saved model: it has another bank."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank

    def from_config(self, config: dict) -> AND:
        return AND.from_config(config | {"bank": self.bank})


def _check_sums(path: Path) -> None:
    """Compare what a `.keras` file holds with the CRC-32 that it holds of each part.

    Raises:
        zipfile.BadZipFile: They differ, or the file is cut short.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of {damaged} inside does not match")


class SaveCheckpoints(keras.callbacks.Callback):
    """Saves a checkpoint every few epochs, and every few minutes inside a long one.

    Args:
        checkpoints: Where they go.
        every_epochs: Epochs between them.
        every_minutes: Minutes after the last one, at an epoch's end or in its middle, until the
            next; None saves at the ends of epochs alone.
    """

    def __init__(
        self, checkpoints: Checkpoints, every_epochs: int = 1, every_minutes: float | None = None
    ) -> None:
        super().__init__()
        self.checkpoints = checkpoints
        self.every_epochs = every_epochs
        self.every_minutes = every_minutes

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._saved = time.monotonic()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        # Before a step rather than after the last, so that an epoch's end is saved as such.
        if self.every_minutes is None or batch == 0:
            return
        is_due = time.monotonic() - self._saved >= 60 * self.every_minutes
        if self.checkpoints.workers.anyone(is_due):  # their clocks differ
            self._save()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if (epoch + 1) % self.every_epochs == 0:
            self._save()

    def _save(self) -> None:
        self.checkpoints.save(self.model)
        self._saved = time.monotonic()
