"""Image sets that decode image files while they are used."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from and_tf.data.image_file import UnreadableImageError, read_image, read_in_threads
from and_tf.data.image_set import EpochPart, ImageSet
from and_tf.data.in_memory import InMemoryImageSet, allocate
from and_tf.data.resizing import CROPPED_FROM
from and_tf.data.whole_crop import Box

GREY = 128
BoxOf = Callable[[int, int], Box]
"""From (height, width) to where an image is cut."""


class StreamedFiles(ImageSet):
    """An image set over files, each decoded when its batch is wanted.

    A file that cannot be decoded (any more) stands in as mid-grey: it is warned about once, and
    added to `skipped`.

    Args:
        name: how logs and reports call the set.
        paths: one file for each index.
        image_shape: (height, width, 3) of every image, after resizing.
        image_size: side to which images are resized, or None.
        sources: what each file is called in warnings and in `skipped`.
        metadata: labels, class_names and skipped, see `ImageSet`.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        image_shape: tuple[int, int, int],
        image_size: int | None,
        *,
        sources: Sequence[str],
        **metadata: Any,
    ):
        super().__init__(name, len(paths), image_shape, **metadata)
        self.sources: Sequence[str] = sources
        self._paths = paths
        self._image_size = image_size
        self._unreadable: set[int] = set()
        self.crops_whole = image_size is not None and image_size >= CROPPED_FROM

    def decode_all(self) -> InMemoryImageSet:
        """Return the set in memory, without the files that cannot be decoded.

        Raises:
            ValueError: none can, or there is not enough memory.
        """
        images = allocate(self)
        rows: list[int] = []
        for index, image in enumerate(read_in_threads(self._load, self._paths)):
            if isinstance(image, UnreadableImageError):
                self._skipped.append((self.sources[index], str(image)))
            else:
                images[len(rows)] = image
                rows.append(index)
        if not rows:
            file, reason = self._skipped[-1]
            raise ValueError(f"No readable image in {self.name!r}: {file} ({reason}), ...")
        sources = tuple(self.sources[index] for index in rows)
        paths = [self._paths[index] for index in rows]
        stream = StreamedFiles(
            self.name, paths, self.image_shape, self._image_size, sources=sources
        )
        return InMemoryImageSet(
            self.name,
            images[: len(rows)],
            stream=stream if self.crops_whole else None,
            labels=None if self.labels is None else self.labels[rows],
            class_names=self.class_names,
            sources=sources,
            skipped=sorted(self.skipped),
            missing=self.missing,
            labelled_by=self.labelled_by,
        )

    def _ordered_batches(self, batch_size: int, share: tuple[int, int]) -> tf.data.Dataset:
        indices = self._shared(tf.data.Dataset.range(self.num_examples), batch_size, share)
        return indices.map(self._decode, tf.data.AUTOTUNE).batch(batch_size)

    def _epoch_batches(self, part: EpochPart) -> tf.data.Dataset:
        order = part.permutation(self.num_examples)[part.first_example :]
        indices = tf.data.Dataset.from_tensor_slices((order,))
        return self._decoded(indices, lambda index: (self._decode(index, part), index), part)

    def _decode(self, index: tf.Tensor, part: EpochPart | None = None) -> tf.Tensor:
        load: Callable[..., np.ndarray] = self._load_or_grey
        inputs = [index]
        if part is not None and part.crop is not None:
            box = part.crop.box
            load = lambda index, draws: self._load_or_grey(
                index, functools.partial(box, draws.tolist())
            )
            inputs.append(part.crop.draws(part.seed, part.epoch, index))
        # Stateless, since TensorFlow's determinism would otherwise read one file at a time.
        image = tf.numpy_function(load, inputs, tf.uint8, stateful=False)
        return tf.ensure_shape(image, self.image_shape)

    def _load(self, path: Path, box_of: BoxOf | None = None) -> np.ndarray:
        image = read_image(path, self._image_size, box_of)
        if image.shape != self.image_shape:
            raise UnreadableImageError(
                f"its header says {self.image_shape[:2]}, not {image.shape[:2]}"
            )
        return image

    def _load_or_grey(self, index: int, box_of: BoxOf | None = None) -> np.ndarray:
        try:
            return self._load(self._paths[index], box_of)
        except UnreadableImageError as error:
            if index not in self._unreadable:
                self._unreadable.add(index)
                self._skipped.append((self.sources[index], str(error)))
                warnings.warn(
                    f"{self.sources[index]} cannot be read and stands in as grey: {error}",
                    stacklevel=1,
                )
            return np.full(self.image_shape, GREY, np.uint8)
