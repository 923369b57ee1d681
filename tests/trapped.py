"""A model whose gradients are not finite, under a finite loss, at the step of one image."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

import and_tf

N = 24
IMAGES = np.random.default_rng(0).integers(0, 255, (N, 4, 4, 3), dtype=np.uint8)
IMAGES[9] = 255  # springs the trap


class Trap(keras.layers.Layer):
    """Multiplies by a weight, whose gradient is not finite where there is a white image."""

    def build(self, *shapes):
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, x, pixels):
        sprung = tf.reduce_any(tf.reduce_min(pixels, axis=[1, 2, 3]) == 255)
        spoilt = tf.where(sprung, np.float32(np.nan), 0.0)
        pass_on = tf.custom_gradient(
            lambda x, scale: (x * tf.cast(scale, x.dtype), lambda upstream: (upstream, spoilt))
        )
        return pass_on(x, tf.convert_to_tensor(self.scale.value))


def make_model(optimizer: keras.optimizers.Optimizer | None = None) -> and_tf.AND:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((4, 4, 3))
    x = keras.layers.Rescaling(1 / 255, offset=-0.5)(pixels)
    x = keras.layers.Dense(6, name="before")(keras.layers.Flatten()(x))
    x = Trap(name="trap")(x, pixels)
    x = keras.layers.Dense(8, name="after")(x)
    encoder = keras.Model(pixels, keras.layers.UnitNormalization(dtype="float32")(x))
    model = and_tf.AND(encoder, N, name="and")
    model.compile(optimizer or and_tf.SGD(0.1), jit_compile=False)
    return model
