"""Training steps of the narrowest encoders with odd batches; test_heap.py runs it under checks of the heap."""

from __future__ import annotations

import itertools

import keras
import tensorflow as tf

from and_tf.encoders import alexnet, conv4, resnet18, resnet50

NARROWEST = (
    # One to 16 channels; the large map is what oneDNN's AVX2 kernel goes wrong at.
    (resnet18, 128, {"stem": "small", "width": 0.02}),
    (resnet18, 32, {"width": 0.1}),
    (resnet50, 64, {"width": 0.02}),
    (alexnet, 64, {"width": 0.02}),
    (conv4, 32, {"width": 0.02}),
)
POLICIES = ("float32", "mixed_bfloat16")  # with AVX-512 both have the kernel

if __name__ == "__main__":
    for policy, (make, side, options) in itertools.product(POLICIES, NARROWEST):
        keras.config.set_dtype_policy(policy)
        encoder = make((side, side, 3), 8, **options)
        for batch in (1, 3, 5):
            images = tf.random.uniform((batch, side, side, 3), 0, 255)
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(encoder(images, training=True)[:, 0])
            tape.gradient(loss, encoder.trainable_variables)
