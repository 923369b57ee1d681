"""How the bank lies on the sphere while training: cheap figures that need no label."""

from __future__ import annotations

import keras
import numpy as np

from and_tf.evaluation import label_free
from and_tf.evaluation.nearest import nearest
from and_tf.method.curriculum import Curriculum
from and_tf.method.sharded_bank import ShardedBank

SAMPLED = 2048
"""Rows that are looked at."""
NEIGHBOURS = 10


class BankMonitors(keras.callbacks.Callback):
    """Adds `effective_rank`, `uniformity` and `hubness` (skewness) of the bank's rows to the logs.

    They come with the epochs that are evaluated: the first one, every few, and the end of a round. Up to
    2,048 rows are looked at, always the same. On all workers.

    Args:
        every_epochs: Epochs between them.
        curriculum: If given, the end of every round is looked at, too.

    Source: `and_tf.evaluation.label_free`, which says what each is and which values are healthy.
    """

    def __init__(self, every_epochs: int = 10, curriculum: Curriculum | None = None) -> None:
        super().__init__()
        self.every_epochs = every_epochs
        self.curriculum = curriculum

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        ends = self.curriculum is not None and self.curriculum.ends_round(epoch)
        if logs is not None and (epoch == 0 or ends or (epoch + 1) % self.every_epochs == 0):
            logs.update(self.measure())

    def measure(self) -> dict[str, float]:
        """The figures of the bank as it stands."""
        ids = label_free.sample(np.arange(self.model.num_examples), SAMPLED)
        bank = self.model.bank
        rows = bank.numpy()[ids] if isinstance(bank, ShardedBank) else keras.ops.take(bank, ids, 0)
        rows = np.asarray(rows)
        if len(rows) < 2:
            return {}
        neighbours, _ = nearest(rows, rows, min(NEIGHBOURS, len(rows) - 1), np.arange(len(rows)))
        return {
            "effective_rank": label_free.effective_rank(rows),
            "uniformity": label_free.uniformity(rows),
            "hubness": label_free.hubness(neighbours)["skewness"],
        }
