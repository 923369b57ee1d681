"""Stopping between two steps on Ctrl-C and on SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

import keras
import numpy as np

from and_tf.errors import Interrupted
from and_tf.runs.checkpoints import Checkpoints


class StopWhenAsked(keras.callbacks.Callback):
    """Saves a checkpoint and raises `Interrupted` at the next boundary of a step after a signal.

    Use `with stop.listening():` around `fit`. A second signal stops at once, as it would without.
    Where several workers train together, the signal of one stops all.

    Args:
        checkpoints: Where the checkpoint goes.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        super().__init__()
        self.checkpoints = checkpoints
        self._received: int | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to SIGINT and SIGTERM inside the block."""
        previous = {
            number: signal.signal(number, self._receive)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            raise KeyboardInterrupt
        self._received = number
        print("\nstopping after this step; once more to stop at once", file=sys.stderr, flush=True)

    def _stop_if_asked(self) -> None:
        workers = self.checkpoints.workers
        if workers.anyone(self._received is not None):
            self.checkpoints.save(self.model)
            received = workers.gathered(np.array([self._received or 0]))
            workers.leave()
            raise Interrupted(int(received.max()))

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self._stop_if_asked()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._stop_if_asked()
