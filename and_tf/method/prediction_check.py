"""Whether a model predicts what it trained: batch norm may normalise otherwise."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Iterator
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

Sample = Callable[[], tuple[np.ndarray, np.ndarray]]
"""Images [n, H, W, 3] and their ids [n]."""


class PredictionCheck(keras.callbacks.Callback):
    """Warns, once, where predictions are about one point and the bank's rows are not.

    In training batch norm takes the moments of the batch, in predictions averages of them, which
    may lag: with a momentum of 0.999 they are as they began for hundreds of steps. A few images are
    embedded after 8, 16, 32, ... epochs and at the end.

    Several workers, which all have these images, look at the same moments.

    Args:
        sample: Gives images and their ids, a few hundred at most are looked at; None for no look.
    """

    def __init__(self, sample: Sample | None) -> None:
        super().__init__()
        self._sample = sample
        self._warned = False

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        count = epoch + 1
        if count >= 8 and count & (count - 1) == 0:
            self._check()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._check()

    def _check(self) -> None:
        if (
            self._warned
            or self._sample is None
            or not any(
                isinstance(layer, keras.layers.BatchNormalization)
                for layer in self.model.encoder._flatten_layers()
            )
        ):
            return
        # The rows begin at random: each update leaves `bank_momentum` of that.
        left = self.model.bank_momentum ** (self.model.examples_seen / self.model.num_examples)
        if left > 0.1:
            return
        images, ids = self._sample()
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


def first_batch(x: Any, y: Any) -> tuple[Sample | None, Any]:
    """What gives up to 128 images of those that `fit` trains on, with their ids, and what is trained on.

    A generator gives its first batch here, and again when it is trained on. Data of other kinds than
    `AND.fit` names are not looked at.
    """
    if isinstance(x, types.GeneratorType):
        first = next(x, None)
        return (None if first is None else lambda: _head(*first)), _chained(first, x)
    if isinstance(x, ImageSet):
        return lambda: _head(*next(iter(x.training_batches(min(_COUNT, len(x)), seed=0)))), x
    if isinstance(x, np.ndarray | tf.Tensor) and y is not None:
        rows = np.linspace(0, len(x) - 1, min(_COUNT, len(x))).astype(int)
        return lambda: (np.asarray(x)[rows], np.asarray(y).ravel()[rows]), x
    if isinstance(x, tf.data.Dataset):
        return lambda: _head(*next(iter(x.take(1)))), x
    if isinstance(x, keras.utils.PyDataset):
        return lambda: _head(*x[0]), x
    return None, x


def _head(images: Any, ids: Any, *_: Any) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(images[:_COUNT]), np.asarray(ids).ravel()[:_COUNT]


def _chained(first: Any, rest: Iterator) -> Iterator:
    """A generator again, since Keras takes no other iterators."""
    if first is not None:
        yield first
    yield from rest
