"""Batch normalisation by TensorFlow's fused kernel."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="and_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` for maps [B, H, W, C], several times as fast.

    Keras builds the layer from elementary operations, each of which reads and writes the whole map,
    in float32 even under mixed precision. TensorFlow's kernel reads the map in its own dtype and
    keeps the statistics in float32. Its running variance is the unbiased one, as in PyTorch, where
    Keras's is the biased one; only inference sees it.

    Takes the arguments of Keras's layer. With `synchronized=True`, or with a mask, it is Keras's
    layer, which knows what to do then.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask=None) -> tf.Tensor:
        if self.synchronized or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        inputs = tf.cast(inputs, self.compute_dtype)
        if not (training and self.trainable):
            return _normalised(inputs, self, self.moving_mean, self.moving_variance)[0]
        outputs, mean, variance = _normalised(inputs, self)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(self.momentum * moving + (1.0 - self.momentum) * batch)
        return outputs


def _normalised(
    inputs: tf.Tensor, layer: BatchNormalization, mean=None, variance=None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    return tf.compat.v1.nn.fused_batch_norm(
        inputs,
        tf.convert_to_tensor(layer.gamma),
        tf.convert_to_tensor(layer.beta),
        None if mean is None else tf.convert_to_tensor(mean),
        None if variance is None else tf.convert_to_tensor(variance),
        epsilon=layer.epsilon,
        is_training=mean is None,
    )
