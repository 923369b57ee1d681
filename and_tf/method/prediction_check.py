"""Whether a model predicts what it trained: batch norm may normalise otherwise."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from and_tf.data.image_set import ImageSet
from and_tf.evaluation.neighbourhood_quality import embedding_spread

COLLAPSED = 0.1
"""Spread of the predictions, as a share of the bank's, below which they are about one point."""

LEARNED = 0.3
"""Spread of the bank's rows from which on training looks well."""

_COUNT = 128


class PredictionCheck(keras.callbacks.Callback):
    """Warns, once, where predictions are about one point and the bank's rows are not.

    In training batch norm takes the moments of the batch, in predictions averages of them, which
    may lag: with a momentum of 0.999 they are as they began for hundreds of steps. A few images are
    embedded after 8, 16, 32, ... epochs and at the end.

    Args:
        x: What `AND.fit` trains on: arrays, an image set, a data set or a `PyDataset`; others are
            not looked at.
        y: The ids of arrays.
    """

    def __init__(self, x: Any, y: Any) -> None:
        super().__init__()
        self._x, self._y = x, y
        self._warned = False

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        count = epoch + 1
        if count >= 8 and count & (count - 1) == 0:
            self._check()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._check()

    def _check(self) -> None:
        if self._warned or not any(
            isinstance(layer, keras.layers.BatchNormalization)
            for layer in self.model.encoder._flatten_layers()
        ):
            return
        # The rows begin at random: each update leaves `bank_momentum` of that.
        left = self.model.bank_momentum ** (self.model.examples_seen / self.model.num_examples)
        if left > 0.1:
            return
        batch = some_images(self._x, self._y)
        if batch is None:
            return
        images, ids = batch
        predicted = embedding_spread(self.model.encoder(images, training=False).numpy())
        trained = embedding_spread(self.model.bank.numpy()[ids])
        if trained > LEARNED and predicted < COLLAPSED * trained:
            self._warned = True
            warnings.warn(
                "The encoder trains well, but predicts about one point for all images (spread "
                f"{predicted:.3f}, in training {trained:.3f} of 1): its batch norm's averages lag "
                "behind. Make its BatchNormalization layers with momentum=0.9, as "
                "and_tf.encoders.from_backbone does for a backbone, and train anew.",
                stacklevel=2,
            )


def some_images(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Up to 128 images and their ids of what `fit` trains on; None where looking would use it up."""
    if isinstance(x, ImageSet):
        x = x.training_batches(min(_COUNT, len(x)), seed=0)
    if isinstance(x, np.ndarray | tf.Tensor) and y is not None:
        rows = np.linspace(0, len(x) - 1, min(_COUNT, len(x))).astype(int)
        return np.asarray(x)[rows], np.asarray(y).ravel()[rows]
    if isinstance(x, tf.data.Dataset):
        batch = next(iter(x.take(1)), None)
    elif isinstance(x, keras.utils.PyDataset):
        batch = x[0]
    else:
        return None
    if batch is None:
        return None
    images, ids = batch[0], np.asarray(batch[1]).ravel()
    return images[:_COUNT], ids[:_COUNT]
