"""Batch normalisation by TensorFlow's fused kernel, over the batch of all replicas."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from and_tf.distribution import replicas

# The least that TensorFlow's function passes on to the kernel, as cuDNN asks for it.
_LEAST_EPSILON = 1.001e-5


@keras.saving.register_keras_serializable(package="and_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` for maps [B, H, W, C], several times as fast.

    Keras builds the layer from elementary operations, each of which reads and writes the whole map,
    in float32 even under mixed precision. TensorFlow's kernel reads the map in its own dtype and
    keeps the statistics in float32. Its running variance is the unbiased one, as in PyTorch, where
    Keras's is the biased one; only inference sees it.

    Under several replicas the statistics are those of the whole batch, whatever `synchronized` says.

    Takes the arguments of Keras's layer. With a mask it is Keras's layer, on one replica.

    Raises:
        NotImplementedError: A mask, under several replicas.
        ValueError: A policy of float64.
    """

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        if mask is not None:
            if replicas.several():
                raise NotImplementedError(
                    "Batch normalisation with a mask is not synchronised: train on one device."
                )
            return super().call(inputs, training=training, mask=mask)
        if self.compute_dtype == "float64":
            raise ValueError(
                "TensorFlow's kernel for batch norm has no float64: make the encoder under "
                "keras.config.set_dtype_policy('float32'). Received: float64"
            )
        inputs = tf.cast(inputs, self.compute_dtype)
        if not (training and self.trainable):
            return _normalised(inputs, self, self.moving_mean, self.moving_variance)[0]
        normalise = _normalised_over_replicas if replicas.several() else _normalised
        outputs, mean, variance = normalise(inputs, self)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(self.momentum * moving + (1.0 - self.momentum) * batch)
        return outputs


def _normalised(
    inputs: tf.Tensor,
    layer: BatchNormalization,
    mean: keras.Variable | None = None,
    variance: keras.Variable | None = None,
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


def _normalised_over_replicas(
    inputs: tf.Tensor, layer: BatchNormalization
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Outputs, mean and unbiased variance; each replica sends its moments and their gradients."""
    weight = replicas.weight()
    count, mean, variance = _moments_over_replicas(inputs, weight)

    @tf.custom_gradient
    def normalise(
        inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
    ) -> tuple[tf.Tensor, Callable]:
        def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            upstream = tf.cast(upstream, tf.float32)
            inverse = tf.math.rsqrt(variance + max(layer.epsilon, _LEAST_EPSILON))
            standardised = (tf.cast(inputs, tf.float32) - mean) * inverse
            of_gamma = tf.reduce_sum(upstream * standardised, axis=[0, 1, 2])
            of_beta = tf.reduce_sum(upstream, axis=[0, 1, 2])
            # Mean and variance depend on the images of all replicas.
            along, level = tf.unstack(replicas.summed(tf.stack([of_gamma, of_beta])) / count)
            of_inputs = gamma * inverse * (upstream - level - standardised * along)
            of_inputs *= weight
            return tf.cast(of_inputs, inputs.dtype), of_gamma, of_beta

        outputs, _, _ = tf.compat.v1.nn.fused_batch_norm(
            inputs, gamma, beta, mean, variance, epsilon=layer.epsilon, is_training=False
        )
        return outputs, gradients

    gamma, beta = tf.convert_to_tensor(layer.gamma), tf.convert_to_tensor(layer.beta)
    unbiased = variance * count / tf.maximum(count - 1.0, 1.0)
    return normalise(inputs, gamma, beta), mean, unbiased


def _moments_over_replicas(
    inputs: tf.Tensor, weight: tf.Tensor | float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """How many pixels all replicas have, float32; their mean and biased variance, float32 [C].

    The moments of parts are put together as T. F. Chan, Golub and LeVeque do (1979), since the
    difference of two sums of squares loses float32's last digits.
    """
    maps = tf.cast(tf.stop_gradient(inputs), tf.float32)
    count = weight * tf.cast(tf.reduce_prod(tf.shape(maps)[:3]), tf.float32)
    parts = tf.stack([tf.fill(tf.shape(maps)[3:], count), *tf.nn.moments(maps, axes=[0, 1, 2])])
    counts, means, variances = tf.unstack(replicas.gathered(parts[tf.newaxis]), 3, axis=1)
    shares = counts / tf.reduce_sum(counts, axis=0)
    mean = tf.reduce_sum(shares * means, axis=0)
    spreads = variances + tf.math.squared_difference(means, mean)
    variance = tf.reduce_sum(shares * spreads, axis=0)
    return tf.reduce_sum(counts[:, 0]), mean, variance
