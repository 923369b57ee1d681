"""Grad-CAM: which places of an image an embedding's similarity to another comes from."""

from __future__ import annotations

import re

import keras
import numpy as np
import tensorflow as tf


def grad_cam(
    encoder: keras.Model, images: np.ndarray, targets: np.ndarray, stage: str | None = None
) -> np.ndarray:
    """Heat maps of the similarity between images and given embeddings.

    The class score of Grad-CAM is here s = x . t, the cosine similarity of the image's embedding x and a
    target t. A map is ReLU(sum over c of a_c A_c), with A_c the stage's channels and a_c the mean over
    all places of ds / dA_c. x = t leaves no gradient, since no change makes them more alike: take
    the nearest other row of the bank, not the image's own.

    Args:
        encoder: From images [B, H, W, 3] to unit embeddings [B, d].
        images: uint8 or float [B, H, W, 3].
        targets: float [B, d], unit rows.
        stage: Name of a layer with activations [B, h, w, C]. Default: the last stage, `last_stage`.

    Returns:
        float32 [B, h, w], 0 or more; all zeros where nothing speaks for the target.

    Source: Selvaraju et al., ICCV 2017, Eq. 1 and 2; the AND paper shows such maps in Figure 7.
    """
    layer = encoder.get_layer(stage or last_stage(encoder))
    both = keras.Model(encoder.input, [layer.output, encoder.output])
    both.autocast = encoder.autocast
    with tf.GradientTape() as tape:
        activations, embeddings = both(tf.convert_to_tensor(images), training=False)
        similarity = tf.reduce_sum(embeddings * tf.cast(targets, embeddings.dtype))
    gradient = tf.cast(tape.gradient(similarity, activations), tf.float32)
    weights = tf.reduce_mean(gradient, axis=[1, 2], keepdims=True)
    heat = tf.reduce_sum(weights * tf.cast(activations, tf.float32), axis=-1)
    return tf.nn.relu(heat).numpy()


def last_stage(encoder: keras.Model) -> str:
    """The name of the last of the layers conv1, conv2, ...

    Raises:
        ValueError: There is none, as in an encoder of another make.
    """
    names = [layer.name for layer in encoder.layers if re.fullmatch(r"conv\d+", layer.name)]
    if not names:
        last = [layer.name for layer in encoder.layers if len(layer.output.shape) == 4]
        raise ValueError(
            "The encoder has no layers named conv1, conv2, ...: name one with activations [B, h, w, C]. "
            f"Received: {encoder.name}, its last such layer is {last[-1] if last else 'none'}"
        )
    return names[-1]
