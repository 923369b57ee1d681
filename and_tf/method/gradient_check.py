"""Gradients that are not finite: found at their own step, and kept from the weights."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from and_tf.distribution import replicas


class GradientCheck:
    """Leaves the gradients of a step out, on all replicas alike, where one of them is not finite.

    The step then counts as one of gradient 0: momentum and weight decay go on. Weights would not
    recover from the update, whereas the next batch may be sound.

    Made within the scope of the strategy that trains. Its variables are no part of a checkpoint.

    Attributes:
        left_out: int64 variable, the steps left out so far.
        culprit: int64 variable, which gradient it was the last time, the first one of them.
    """

    def __init__(self) -> None:
        self.left_out = _counter("steps_left_out")
        self.culprit = _counter("gradient_not_finite")

    def __call__(
        self, loss: tf.Tensor, gradients: Sequence[tf.Tensor | None]
    ) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
        """Look at the gradients of a step, with one exchange between replicas.

        Args:
            loss: float32, this replica's share of the batch's loss.
            gradients: Of that, in the order of the weights; None for a weight that it has not met.

        Returns:
            The batch's loss, and the gradients or as many zeros.
        """
        places = [place for place, gradient in enumerate(gradients) if gradient is not None]
        known = [tf.convert_to_tensor(gradients[place]) for place in places]
        # One pass over each: its sum of squares is finite where all its elements are, up to a
        # length of 2e19, with which weights would not be finite for long.
        squares = [tf.cast(tf.nn.l2_loss(gradient), loss.dtype) for gradient in known]
        sums = replicas.summed(tf.stack([loss, *squares]))
        wrong = tf.logical_not(tf.math.is_finite(sums[1:]))
        any_wrong = tf.reduce_any(wrong)

        self.left_out.assign_add(tf.cast(any_wrong, tf.int64))
        culprit = tf.gather(tf.constant(places, tf.int64), tf.argmax(wrong))
        self.culprit.assign(tf.where(any_wrong, culprit, self.culprit))
        # A branch rather than a product with 0, which would read and write all of them once more.
        kept = tf.cond(any_wrong, lambda: [tf.zeros_like(g) for g in known], lambda: known)
        checked = list(gradients)
        for place, gradient in zip(places, kept, strict=True):
            checked[place] = gradient
        return sums[0], checked


def _counter(name: str) -> tf.Variable:
    return tf.Variable(0, dtype=tf.int64, trainable=False, name=name)
