"""Watching the numbers of a run, so that one gone wrong is not found out days later."""

from __future__ import annotations

from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from and_tf.errors import NonFiniteError, NumbersError
from and_tf.evaluation.neighbourhood_quality import embedding_spread
from and_tf.method.sharded_bank import ShardedBank

Action = Literal["stop", "warn"]

_ADVICE = "Try a lower learning rate, a higher temperature, or float32."
LENGTH_TOLERANCE = 1e-3  # of a bank row's length; float32 rounding leaves it below 1e-6


def check_finite(model: keras.Model) -> None:
    """Make sure that a model is worth keeping. Where there are several workers, all of them ask.

    Raises:
        NonFiniteError: A weight, a statistic or a bank row is not finite.
    """
    for variable in model.variables:
        if not variable.dtype.startswith("float") or np.isfinite(tf.nn.l2_loss(variable.value)):
            continue  # a sum over a variable where it is takes a fifth of the time of a copy
        if not np.isfinite(variable.numpy()).all():
            raise NonFiniteError(f"{variable.path} is not finite any more. {_ADVICE}")
    # A bank in shards is none of the variables.
    if isinstance(model.bank, ShardedBank) and not model.bank.is_finite():
        raise NonFiniteError(f"{model.bank.path} is not finite any more. {_ADVICE}")


class Watchdog(keras.callbacks.Callback):
    """Stops training, or warns, when its numbers go wrong; adds `embedding_spread` to the logs.

    Loss and gradients are looked at after every step, the bank after every epoch. Goes before the
    callback that saves, so that what stops a run is not saved.

    Args:
        non_finite: What to do at a loss or a gradient that is not finite. A warning of each comes
            once an epoch; the model leaves such gradients out (`and_tf.method.gradient_check`).
        collapse: What to do when the bank's rows are about one point.
        collapse_spread: `embedding_spread` below which they are.
        off_sphere: What to do when a row of the bank has left the unit sphere.

    Raises:
        NumbersError: Where the action is "stop"; it says at which step.
    """

    def __init__(
        self,
        non_finite: Action = "stop",
        collapse: Action = "warn",
        collapse_spread: float = 0.05,
        off_sphere: Action = "stop",
    ) -> None:
        super().__init__()
        self.non_finite = non_finite
        self.collapse = collapse
        self.collapse_spread = collapse_spread
        self.off_sphere = off_sphere

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._left_out = int(self.model.gradient_check.left_out.numpy())

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch, self._step = epoch, 0
        self._warned_of: set[str] = set()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._step = batch + 1
        if logs and not np.isfinite(logs["loss"]):
            self._call_out("The loss is not finite any more")
        check = self.model.gradient_check
        if (left_out := int(check.left_out.numpy())) != self._left_out:
            self._left_out = left_out
            weight = self.model.trainable_variables[int(check.culprit.numpy())]
            self._call_out("A gradient is not finite", f" Received: that of {weight.path}.")

    def _call_out(self, what: str, received: str = "") -> None:
        if what not in self._warned_of:
            self._warned_of.add(what)
            error = NonFiniteError(f"{what}, {self._place()}.{received} {_ADVICE}")
            self._act(self.non_finite, error)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        bank = self.model.bank.numpy()
        spread = embedding_spread(bank)
        if logs is not None:
            logs["embedding_spread"] = spread
        if spread < self.collapse_spread:
            error = NumbersError(
                f"The embeddings have collapsed to one point (spread {spread:.3f} of 1), "
                f"{self._place()}. Try a lower learning rate or a lower temperature."
            )
            self._act(self.collapse, error)
        lengths = np.sqrt(np.einsum("nd,nd->n", bank, bank))
        furthest = int(np.abs(lengths - 1).argmax())
        if not abs(lengths[furthest] - 1) <= LENGTH_TOLERANCE:
            error = NumbersError(
                f"Row {furthest} of the bank has left the unit sphere (length "
                f"{lengths[furthest]:g}), {self._place()}. {_ADVICE}"
            )
            self._act(self.off_sphere, error)

    def _place(self) -> str:
        return f"at step {self._step} of epoch {self._epoch + 1}"

    @staticmethod
    def _act(action: Action, error: NumbersError) -> None:
        if action == "stop":
            raise error
        print(f"warning: {error}", flush=True)
