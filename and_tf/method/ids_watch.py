"""What becomes known of the data of `fit` only over several batches."""

from __future__ import annotations

import warnings

import keras
import numpy as np

from and_tf.method.model_checks import wrong_ids

_FEW = 32
"""Images after which ids that come again and again are told from chance."""

LEAST_DIFFERENT = 0.4
"""Share of an epoch's images with an id of their own; drawn with replacement, 0.63 of them have."""


class IdsWatch(keras.callbacks.Callback):
    """Refuses ids that come again and again, and warns of an epoch without end.

    A step refuses an id that its batch repeats. Class labels in batches of one image are found here, in
    the first epoch, by how often each example was seen: after 1, 2, 4, ... steps and at the end.

    Raises:
        ValueError: As for wrong ids in a batch.
    """

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._is_over = self._warned = False
        self._before = self.model.times_seen.numpy()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if not self._is_over and batch & (batch + 1) == 0:
            self._look()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if not self._is_over:
            self._look()
            self._is_over = True

    def _look(self) -> None:
        seen = self.model.times_seen.numpy() - self._before
        shown, count = int(seen.sum(dtype=np.int64)), self.model.num_examples
        different = int((seen > 0).sum())
        expected = min(shown, count)
        if shown >= min(_FEW, count) and different < LEAST_DIFFERENT * expected:
            raise ValueError(wrong_ids(count, f"{different} different ids of {shown} images"))
        if shown >= 2 * count and self.params.get("steps") is None and not self._warned:
            self._warned = True
            warnings.warn(
                f"This epoch has shown {shown:,} images of {count:,}, and goes on. If the data has no "
                "end, give fit steps_per_epoch, which is ceil(images / batch size).",
                stacklevel=2,
            )
