"""Stopping between two steps on Ctrl-C, on SIGTERM, and where the terminal closes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import keras
import numpy as np

from and_tf.errors import Interrupted, stopped_at_once
from and_tf.runs.checkpoints import Checkpoints

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE_SECONDS = 4.0
"""How long Ctrl-C waits for the end of a step, of a discovery or of an evaluation."""


def _end_at_once(checkpoints: Checkpoints) -> None:
    """End the process from another thread, since Python hears of nothing inside a long step."""
    message = stopped_at_once(bool(checkpoints.paths()))
    print(f"error: {message}", file=sys.stderr, flush=True)
    os._exit(128 + signal.SIGINT)


class StopWhenAsked(keras.callbacks.Callback):
    """Saves a checkpoint and raises `Interrupted` at the next boundary of a step after a signal.

    Use `with stop.listening():` around `fit`. A second signal stops at once, as it would without.
    Where several workers train together, the signal of one stops all. After Ctrl-C a process ends
    within 5 s: where no step is over by then, without a new checkpoint, and the other workers end as
    where one is lost.

    Args:
        checkpoints: Where the checkpoint goes.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        super().__init__()
        self.checkpoints = checkpoints
        self._received: int | None = None
        self._deadline: threading.Timer | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to SIGINT, SIGTERM and SIGHUP inside the block; in another thread, to nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python gives signals to the main thread, whose program may listen
            return
        previous = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in previous.items():
            if number != signal.SIGHUP or handler != signal.SIG_IGN:  # nohup
                signal.signal(number, self._receive)
        try:
            yield
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            raise KeyboardInterrupt
        self._received = number
        if number == signal.SIGINT:
            self._deadline = threading.Timer(_PATIENCE_SECONDS, _end_at_once, [self.checkpoints])
            self._deadline.daemon = True
            self._deadline.start()
        print("\nstopping when a step ends; once more to stop at once", file=sys.stderr, flush=True)

    def _stop_if_asked(self) -> None:
        workers = self.checkpoints.workers
        if workers.anyone(self._received is not None):
            if self._deadline is not None:
                self._deadline.cancel()  # a checkpoint is written to its end
            self.checkpoints.save(self.model)
            received = workers.gathered(np.array([self._received or 0]))
            workers.leave()
            raise Interrupted(int(received.max()))

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self._stop_if_asked()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._stop_if_asked()
