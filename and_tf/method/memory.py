"""The memory bank: one row on the unit sphere for every example."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="and_tf")
class RandomUnitRows(keras.initializers.Initializer):
    """Initial rows of the bank: directions drawn uniformly from the unit sphere.

    Args:
        seed: int. The same seed gives the same rows.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(self, shape: tuple[int, int], dtype: str | None = None) -> tf.Tensor:
        rows = tf.random.stateless_normal(shape, seed=[self.seed, 0], dtype=dtype or "float32")
        return tf.math.l2_normalize(rows, axis=-1)

    def part(self, first: int, last: int, dim: int) -> tf.Tensor:
        """Rows [first, last) of those that a call gives, float32 [last - first, dim], on the CPU.

        Dividing by their lengths may round otherwise.

        The generator counts: each step of its counter is four numbers (Salmon et al., "Parallel
        random numbers: as easy as 1, 2, 3", SC 2011), so that it can start anywhere.
        """
        steps, extra = divmod(first * dim, 4)
        with tf.device("CPU:0"):
            found = tf.raw_ops.StatelessRandomGetKeyCounter(seed=[self.seed, 0])
            numbers = tf.raw_ops.StatelessRandomNormalV2(
                shape=[extra + (last - first) * dim],
                key=found.key,
                counter=found.counter + tf.constant([steps, 0], tf.uint64),
                alg=tf.raw_ops.StatelessRandomGetAlg(),
            )
            return tf.math.l2_normalize(tf.reshape(numbers[extra:], [-1, dim]), axis=-1)

    def get_config(self) -> dict:
        return {"seed": self.seed}


def updated_rows(rows: tf.Tensor, embeddings: tf.Tensor, momentum: float) -> tf.Tensor:
    """The bank's new rows after a step: `normalise((1 - eta) rows + eta embeddings)`.

    Args:
        rows: float [B, d]. The batch's rows as they stand in the bank.
        embeddings: float [B, d]. The batch's unit embeddings.
        momentum: The weight of the old row, 1 - eta.

    Returns:
        float32 [B, d], unit rows.

    Source: Eq. 8 of the AND paper, followed by the re-normalisation of the authors' code.
    """
    embeddings = tf.cast(tf.stop_gradient(embeddings), rows.dtype)
    return tf.math.l2_normalize(momentum * rows + (1.0 - momentum) * embeddings, axis=-1)
