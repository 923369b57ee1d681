"""Image sets that are decoded once and kept in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from and_tf.data.image_set import ImageSet, epoch_permutation


class InMemoryImageSet(ImageSet):
    """An image set over one array.

    Args:
        name: how logs and reports call the set.
        images: uint8 [N, H, W, 3].
        labels, class_names, sources, skipped: see `ImageSet`.
    """

    def __init__(self, name: str, images: np.ndarray, **metadata):
        super().__init__(name, len(images), images.shape[1:], **metadata)
        self.images = np.ascontiguousarray(images)
        # On the host: as a constant on an accelerator it would take that memory from the bank.
        with tf.device("CPU:0"):
            self._tensor = tf.convert_to_tensor(self.images)

    def ordered_batches(self, batch_size: int) -> tf.data.Dataset:
        def batch(step: tf.Tensor) -> tf.Tensor:
            return self._tensor[step * batch_size : (step + 1) * batch_size]

        steps = self.steps_per_epoch(batch_size)
        return tf.data.Dataset.range(steps).map(batch).prefetch(tf.data.AUTOTUNE)

    def _epoch_batches(
        self, batch_size: int, seed: int, epoch: tf.Tensor, first_step: tf.Tensor
    ) -> tf.data.Dataset:
        order = epoch_permutation(self.num_examples, seed, epoch)

        def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            indices = order[step * batch_size : (step + 1) * batch_size]
            return tf.gather(self._tensor, indices), indices

        return tf.data.Dataset.range(first_step, self.steps_per_epoch(batch_size)).map(batch)


def from_arrays(
    images: np.ndarray,
    labels: Sequence[int] | np.ndarray | None = None,
    name: str = "arrays",
) -> InMemoryImageSet:
    """Return an image set over arrays.

    Args:
        images: uint8 [N, H, W, 3], or grey [N, H, W, 1] or [N, H, W] (repeated to 3 channels).
        labels: integers [N], or None.
        name: how logs and reports call the set.

    Raises:
        ValueError: another dtype or shape, images of different sizes, or labels that do not fit.
    """
    try:
        images = np.asarray(images)
    except ValueError:
        sizes = sorted({np.shape(image) for image in images})
        raise ValueError(
            f"All images must have the same size: resize them first. Received: {sizes[:3]}"
        ) from None
    if images.dtype != np.uint8:
        raise ValueError(
            "Images must be uint8, 0..255, as they are stored: convert floats in 0..1 with "
            f"np.round(255 * images).astype('uint8'). Received: {images.dtype}"
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape[1:]:
        raise ValueError(
            "Images must have the shape [N, height, width, 3], or one grey channel. "
            f"Received: {images.shape}"
        )
    if images.shape[-1] == 1:
        images = np.repeat(images, 3, axis=-1)
    return InMemoryImageSet(name, images, labels=_check_labels(labels, len(images)))


def _check_labels(
    labels: Sequence[int] | np.ndarray | None, num_examples: int
) -> np.ndarray | None:
    if labels is None:
        return None
    labels = np.asarray(labels)
    if labels.shape != (num_examples,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"Labels must be {num_examples} integers, one for each image. "
            f"Received: {labels.dtype} of shape {labels.shape}"
        )
    return labels.astype(np.int64)
