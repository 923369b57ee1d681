"""Linear classifiers on several features at once, each at several learning rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

RATES = (1.0, 3.0, 10.0, 30.0, 100.0)
MOMENTUM = 0.9


class LinearProbes:
    """Softmax classifiers without hidden layers, all trained by the same batches.

    Features are standardised, value by value, and divided by the square root of their number, so that
    one set of rates suits all. Weights start at zero, so nothing is random; SGD with Nesterov's
    momentum, the rate falling to zero by a half cosine.

    Args:
        samples: Name to float [n, D], features that the mean and the deviation are taken from.
        classes: C.
        steps: How many updates there will be.
        rates: Learning rates, each a classifier of its own.
        weight_decay: L2 in the gradient.
    """

    def __init__(
        self,
        samples: Mapping[str, np.ndarray],
        classes: int,
        steps: int,
        rates: Sequence[float] = RATES,
        weight_decay: float = 0.0,
    ) -> None:
        self.rates = tuple(rates)
        self._classes, self._steps, self._weight_decay = classes, steps, weight_decay
        self._scales = {}
        self._weights: dict[str, tuple[tf.Variable, tf.Variable]] = {}
        for name, values in samples.items():
            mean, variance = values.mean(axis=0), values.var(axis=0)
            scale = 1 / np.sqrt((variance + 1e-5) * len(mean))
            self._scales[name] = tf.constant(mean), tf.constant(scale, tf.float32)
            shape = len(mean) + 1, len(rates) * classes  # the last one is the bias
            self._weights[name] = tuple(
                tf.Variable(tf.zeros(shape), trainable=False) for _ in range(2)
            )
        self._done = tf.Variable(0, dtype=tf.int64, trainable=False)

    @tf.function(reduce_retracing=True)
    def update(self, features: Mapping[str, tf.Tensor], labels: tf.Tensor) -> None:
        """One step of every classifier.

        Args:
            features: Name to float [B, D].
            labels: int [B], from 0 to C - 1; others do not count.
        """
        share = tf.cast(self._done, tf.float32) / self._steps
        decay = 0.5 * (1 + tf.cos(np.pi * tf.minimum(share, 1.0)))
        rates = tf.repeat(tf.constant(self.rates), self._classes) * decay
        counted = tf.cast(labels >= 0, tf.float32)[:, None, None]
        counted /= tf.maximum(tf.reduce_sum(counted), 1)
        wanted = tf.one_hot(labels, self._classes)[:, None]
        for name, (weights, momentum) in self._weights.items():
            x = self._standardised(name, features[name])
            errors = (tf.nn.softmax(self._logits(x, weights)) - wanted) * counted
            errors = tf.reshape(errors, [-1, len(self.rates) * self._classes])
            gradient = tf.matmul(x, errors, transpose_a=True) + self._weight_decay * weights
            momentum.assign(MOMENTUM * momentum + gradient)
            weights.assign_sub(rates * (gradient + MOMENTUM * momentum))
        self._done.assign_add(1)

    @tf.function(reduce_retracing=True)
    def hits(self, features: Mapping[str, tf.Tensor], labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Whether each classifier is right, name to bool [B, rates]."""
        found = {}
        for name, (weights, _) in self._weights.items():
            logits = self._logits(self._standardised(name, features[name]), weights)
            found[name] = tf.argmax(logits, -1, labels.dtype) == labels[:, None]
        return found

    def _standardised(self, name: str, features: tf.Tensor) -> tf.Tensor:
        mean, scale = self._scales[name]
        x = (tf.cast(features, tf.float32) - mean) * scale
        return tf.concat([x, tf.ones([tf.shape(x)[0], 1])], 1)

    def _logits(self, x: tf.Tensor, weights: tf.Variable) -> tf.Tensor:
        return tf.reshape(tf.matmul(x, weights), [-1, len(self.rates), self._classes])
