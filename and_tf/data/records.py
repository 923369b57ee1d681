"""Image sets that stream from record files (TFRecord, as TensorFlow Datasets writes them)."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from and_tf.data.image_set import EpochPart, ImageSet
from and_tf.data.in_memory import InMemoryImageSet, allocate
from and_tf.data.whole_crop import WholeCrop

FILES_READ_AT_ONCE = 16
SHUFFLE_BYTES = 2**30  # Encoded; a set that is smaller is shuffled as a whole.


class RecordFile(Protocol):
    """The records `skip` to `skip + take` of a file (`tfds.core.utils.shard_utils.FileInstruction`)."""

    filename: str
    skip: int
    take: int
    examples_in_shard: int


class StreamedRecords(ImageSet):
    """An image set read from record files while it is used.

    Index i is the i-th record of the files as listed. An epoch reads the files in an order of its
    own, several at once, through a shuffle buffer of encoded records.

    Args:
        name: how logs and reports call the set.
        files: where the records lie.
        image_shape: (height, width, 3).
        decode_image: from a record (string scalar) to uint8 [height, width, 3].
        decode_label: from a record to int64, or None where there are no labels.
        class_names: the name of each label, or None.
        decode_cut: from a record, a crop and its draws to the cut, uint8 [height, width, 3]; None
            where there are no whole photographs to cut.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[RecordFile],
        image_shape: tuple[int, int, int],
        decode_image: Callable[[tf.Tensor], tf.Tensor],
        decode_label: Callable[[tf.Tensor], tf.Tensor] | None = None,
        class_names: Sequence[str] | None = None,
        decode_cut: Callable[[tf.Tensor, WholeCrop, tf.Tensor], tf.Tensor] | None = None,
    ):
        takes = np.array([file.take for file in files], np.int64)
        super().__init__(name, int(takes.sum()), image_shape, class_names=class_names)
        skips = np.array([file.skip for file in files], np.int64)
        first_indices = np.cumsum(takes) - takes
        self._files = ([file.filename for file in files], skips, takes, first_indices)
        self._decode_image = decode_image
        self._decode_label = decode_label
        self._decode_cut = decode_cut
        self.crops_whole = decode_cut is not None
        num_bytes = sum(tf.io.gfile.stat(file.filename).length for file in files)
        num_records = sum(file.examples_in_shard for file in files)
        affordable = SHUFFLE_BYTES * num_records // max(num_bytes, 1)
        self._shuffle_buffer = max(1, min(self.num_examples, affordable))

    @functools.cached_property
    def labels(self) -> np.ndarray | None:
        if self._decode_label is None:
            return None
        records = self._records(tf.range(len(self._files[0])))
        labels = records.map(lambda _, record: self._decode_label(record), tf.data.AUTOTUNE)
        with self._damage_reported():
            labels = np.concatenate(list(labels.batch(4096).as_numpy_iterator()))
        return None if np.all(labels < 0) else labels  # -1 stands for labels that are withheld.

    def decode_all(self) -> InMemoryImageSet:
        """Return the set in memory.

        Raises:
            ValueError: a file is damaged or incomplete, or there is not enough memory.
        """
        images = allocate(self)
        first = 0
        with self._damage_reported():
            for batch in self.ordered_batches(256).as_numpy_iterator():
                images[first : first + len(batch)] = batch
                first += len(batch)
        if first != self.num_examples:
            raise ValueError(
                f"{self.name!r} is incomplete: {self.num_examples} examples are listed. "
                f"Received: {first}"
            )
        return InMemoryImageSet(
            self.name,
            images,
            stream=self if self.crops_whole else None,
            labels=self.labels,
            class_names=self.class_names,
        )

    def _ordered_batches(self, batch_size: int, share: tuple[int, int]) -> tf.data.Dataset:
        records = self._shared(self._records(tf.range(len(self._files[0]))), batch_size, share)
        images = records.map(lambda _, record: self._decode_image(record), tf.data.AUTOTUNE)
        return images.batch(batch_size)

    def _epoch_batches(self, part: EpochPart) -> tf.data.Dataset:
        order = part.permutation(len(self._files[0]))
        records = self._records(order, files_read_at_once=FILES_READ_AT_ONCE)
        # `shuffle` mixes in the graph's seed. Pin it (this function has a graph of its own), or
        # the order would depend on a `tf.random.set_seed` somewhere in the program.
        tf.random.set_seed(1)
        shuffle_seed = tf.random.stateless_uniform(
            [], [tf.cast(part.seed, tf.int64), part.epoch], minval=None, maxval=None, dtype=tf.int64
        )
        records = records.shuffle(
            self._shuffle_buffer, seed=shuffle_seed, reshuffle_each_iteration=False
        )

        def decode(index: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            if part.crop is None or self._decode_cut is None:
                return self._decode_image(record), index
            draws = part.crop.draws(part.seed, part.epoch, index)
            return self._decode_cut(record, part.crop, draws), index

        return self._decoded(records.skip(part.first_example), decode, part)

    @contextlib.contextmanager
    def _damage_reported(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.OpError as error:
            raise ValueError(
                f"A file of {self.name!r} is damaged; copy or prepare it again: {error.message}"
            ) from error

    def _records(self, order: tf.Tensor, files_read_at_once: int = 1) -> tf.data.Dataset:
        """Return (index, record) of all files, taken in `order`."""

        def read(
            filename: tf.Tensor, skip: tf.Tensor, take: tf.Tensor, first_index: tf.Tensor
        ) -> tf.data.Dataset:
            records = tf.data.TFRecordDataset(filename, buffer_size=2**20)
            return records.skip(skip).take(take).enumerate(first_index)

        files = tuple(tf.gather(column, order) for column in self._files)
        return tf.data.Dataset.from_tensor_slices(files).interleave(
            read,
            cycle_length=files_read_at_once,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
