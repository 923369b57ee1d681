"""Image sets that are decoded once and kept in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from and_tf.data.image_set import EpochPart, ImageSet

MAX_BYTES = 2 * 2**30  # What `in_memory="auto"` keeps in memory.


class InMemoryImageSet(ImageSet):
    """An image set over one array.

    Args:
        name: how logs and reports call the set.
        images: uint8 [N, H, W, 3].
        stream: the same images where they come from, to be cut anew in every epoch; or None.
        metadata: labels, class_names, sources and skipped, see `ImageSet`.
    """

    def __init__(
        self, name: str, images: np.ndarray, stream: ImageSet | None = None, **metadata: Any
    ):
        super().__init__(name, len(images), images.shape[1:], **metadata)
        self._stream = stream
        self.crops_whole = stream is not None and stream.crops_whole
        # On the host, since an accelerator's memory is for the bank. `identity` makes one copy,
        # where `convert_to_tensor` keeps two; `images` is a (read-only) view of it.
        with tf.device("CPU:0"):
            self._tensor = tf.identity(images)
        self.images = np.asarray(memoryview(self._tensor))

    def _ordered_batches(self, batch_size: int, share: tuple[int, int]) -> tf.data.Dataset:
        first, every = share

        def batch(step: tf.Tensor) -> tf.Tensor:
            return self._tensor[step * batch_size : (step + 1) * batch_size]

        return tf.data.Dataset.range(first, self.steps_per_epoch(batch_size), every).map(batch)

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        return super().skipped + (() if self._stream is None else self._stream.skipped)

    def _epoch_batches(self, part: EpochPart) -> tf.data.Dataset:
        if part.crop is not None and self._stream is not None:
            return self._stream._epoch_batches(part)
        order = part.permutation(self.num_examples)

        def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            start = step * part.batch_size
            indices = order[start : start + part.batch_size][part.rows_of_batch]
            return tf.gather(self._tensor, indices), indices

        steps = self.steps_per_epoch(part.batch_size)
        return tf.data.Dataset.range(part.first_step, steps).map(batch)


def fits_in_memory(in_memory: bool | Literal["auto"], image_set: ImageSet) -> bool:
    """Return whether a streaming set is rather to be decoded once and kept in memory."""
    num_bytes = image_set.num_examples * math.prod(image_set.image_shape)
    return num_bytes <= MAX_BYTES if in_memory == "auto" else in_memory


def allocate(image_set: ImageSet) -> np.ndarray:
    """Return an empty array for all images of a streaming set, uint8 [N, H, W, 3].

    Raises:
        ValueError: there is not that much memory.
    """
    shape = (image_set.num_examples, *image_set.image_shape)
    try:
        return np.empty(shape, np.uint8)
    except MemoryError:
        raise ValueError(
            f"{image_set.name!r} needs {math.prod(shape) / 2**30:.1f} GiB of memory, which is not "
            "there: stream it, with in_memory=False."
        ) from None


def from_arrays(
    images: np.ndarray,
    labels: Sequence[int] | Sequence[str] | np.ndarray | None = None,
    name: str = "arrays",
) -> InMemoryImageSet:
    """Return an image set over arrays.

    Args:
        images: uint8 [N, H, W, 3], or grey [N, H, W, 1] or [N, H, W] (repeated to 3 channels).
        labels: integers or strings [N], or None; a negative integer or "" is none.
        name: how logs and reports call the set.

    Raises:
        ValueError: another dtype or shape, images of different sizes, or labels that do not fit.
    """
    if not hasattr(images, "__len__"):
        raise ValueError(f"Images must be an array. Received: {type(images).__name__}")
    sizes = {np.shape(image) for image in images}
    if len(sizes) > 1:
        raise ValueError(
            "All images must have the same shape: resize them first. "
            f"Received: {', '.join(map(str, sorted(sizes)[:3]))}"
        )
    images = np.asarray(images)
    if len(images) == 0:
        raise ValueError(f"The data set {name!r} holds no images.")
    if images.dtype != np.uint8:
        raise ValueError(
            "Images must be uint8, 0..255, as they are stored: convert floats in 0..1 with "
            f"np.round(255 * images).astype('uint8'). Received: {images.dtype}"
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise ValueError(
            "Images must have the shape [N, height, width, 3], or [N, height, width, 1] or "
            f"[N, height, width] where they are grey. Received: {images.shape}"
        )
    if images.shape[-1] == 1:
        images = np.repeat(images, 3, axis=-1)
    class_names = None
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != (len(images),) or labels.dtype.kind not in "iuU":
            raise ValueError(
                f"Labels must be {len(images)} integers or strings, one for each image. "
                f"Received: {labels.dtype} of shape {labels.shape}"
            )
        if labels.dtype.kind == "U":
            class_names = np.unique(labels[labels != ""])
            labels = np.where(labels == "", -1, np.searchsorted(class_names, labels))
        labels = labels.astype(np.int64)
    return InMemoryImageSet(
        name, images, labels=labels, class_names=class_names, labelled_by="the arrays"
    )
