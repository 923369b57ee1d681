"""From images to embeddings, and to the backbone's features before them, in one pass."""

from __future__ import annotations

import keras
import numpy as np

from and_tf.data.image_set import ImageSet
from and_tf.discovery.search_progress import SearchProgress
from and_tf.errors import RunError
from and_tf.exporting.rows import readable
from and_tf.judging.subject import Part

EMBEDDING_LAYER = "embedding"
"""The dense layer of `and_tf.encoders` whose input is the backbone's output."""


def embed(encoder: keras.Model, images: ImageSet, batch_size: int) -> Part:
    """The part that an encoder makes of images, without those that cannot be read.

    Args:
        encoder: From images [B, H, W, 3] to embeddings [B, d].
        images: Any.
        batch_size: Images embedded at a time.

    Raises:
        RunError: Images of another size, or embeddings that are not finite.
    """
    if tuple(encoder.input_shape[1:]) not in (images.image_shape, (None, None, 3)):
        height, width = encoder.input_shape[1:3]
        raise RunError(
            f"The encoder takes images of {height} x {width} pixels; set data.image_size. Received: "
            f"{images.name!r} of {images.image_shape[0]} x {images.image_shape[1]}"
        )
    outputs = [encoder.output]
    if any(layer.name == EMBEDDING_LAYER for layer in encoder.layers):
        outputs.append(encoder.get_layer(EMBEDDING_LAYER).input)
    both = keras.Model(encoder.input, outputs)
    both.autocast = encoder.autocast
    steps = images.steps_per_epoch(batch_size)
    with SearchProgress(f"embedding {images.name}") as progress:
        told = keras.callbacks.LambdaCallback()
        told.on_predict_batch_end = lambda step, logs=None: progress((step + 1) / steps)
        batches = images.ordered_batches(batch_size)
        embeddings, *features = both.predict(batches, verbose=0, callbacks=[told])
    kept = np.array(readable(images), np.int64)
    sources = images.sources or [f"{images.name}:{index}" for index in range(len(images))]
    return Part(
        images.name,
        unit_rows(embeddings[kept], images.name),
        None if images.labels is None else known_or_none(images.labels[kept]),
        [sources[index] for index in kept],
        unit_rows(features[0][kept], images.name, zero="keep") if features else None,
        images,
        kept,
    )


def known_or_none(labels: np.ndarray) -> np.ndarray | None:
    """Labels as int64 with -1 for none; None where there is no label at all."""
    labels = np.where(labels >= 0, labels, -1).astype(np.int64)
    return labels if (labels >= 0).any() else None


def unit_rows(values: np.ndarray, name: str, zero: str = "refuse") -> np.ndarray:
    """Rows brought to unit length, float32.

    Args:
        values: float [n, d].
        name: Whose they are, for the message.
        zero: "keep" leaves rows of zeros alone, as a ReLU may make them; "refuse" does not.

    Raises:
        RunError: Rows that are not finite, or zero.
    """
    values = np.asarray(values, np.float32)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    wrong = np.flatnonzero(~np.isfinite(lengths))
    what = "not finite (NaN or infinite)"
    if not len(wrong) and zero == "refuse":
        wrong, what = np.flatnonzero(lengths == 0), "all zeros"
    if len(wrong):
        some = ", ".join(map(str, wrong[:5]))
        raise RunError(
            f"Embeddings must be finite and not zero. Received: {len(wrong):,} of {len(values):,} rows "
            f"of {name} are {what}, such as row {some}"
        )
    return values / np.where(lengths == 0, 1, lengths)
