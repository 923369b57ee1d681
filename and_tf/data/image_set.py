"""What every source of images delivers: uint8 images with a stable index, in a reproducible order."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from and_tf.data.whole_crop import WholeCrop
from and_tf.files import printable


def epoch_permutation(
    num_examples: int | tf.Tensor, seed: int, epoch: int | tf.Tensor
) -> tf.Tensor:
    """Return the order of one epoch, int64 [num_examples], a pure function of (seed, epoch).

    Stateless (Philox) and therefore independent of `tf.random.set_seed` and of earlier epochs.
    """
    order = tf.range(tf.cast(num_examples, tf.int64))
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    return tf.random.experimental.stateless_shuffle(order, seed=key, alg="philox")


@dataclass(frozen=True)
class EpochPart:
    """What is wanted of one epoch: its batches from `first_step` on, each cut to `rows`.

    Attributes:
        batch_size: images in a whole batch.
        seed: of the order, with the epoch.
        epoch: int64 scalar.
        first_step: int64 scalar, how many batches are passed over.
        rows: the numbers of a batch's rows, or None for whole batches.
        crop: how each image is cut when it is decoded; None for all of what the set shows of it.
    """

    batch_size: int
    seed: int
    epoch: tf.Tensor
    first_step: tf.Tensor
    rows: range | None
    crop: WholeCrop | None = None

    @property
    def first_example(self) -> tf.Tensor:
        """How many examples are passed over, int64 scalar."""
        return self.first_step * self.batch_size

    @property
    def rows_of_batch(self) -> slice:
        """`rows` as what cuts a batch."""
        return slice(None) if self.rows is None else slice(self.rows.start, self.rows.stop)

    def permutation(self, count: int) -> tf.Tensor:
        """Return the epoch's order of so many examples or files, int64 [count]."""
        return epoch_permutation(count, self.seed, self.epoch)


class ImageSet(abc.ABC):
    """N images with indices 0..N-1, and labels where there are any.

    Attributes:
        name: how logs and reports call the set.
        num_examples: N.
        image_shape: (height, width, 3), the same for every image.
        labels: int64 [N], or None where there are none.
        class_names: the name of each label, or None.
        sources: the file name of each index, or None where images are not files.
        skipped: (file, reason) of everything that was left out.
        missing: names in a file of labels that no image has.
        labelled_by: where the labels come from, in words.
        images: uint8 [N, height, width, 3], or None where the set streams.
        crops_whole: whether `training_batches` takes a crop, from photographs of which the set
            itself shows the central square.
    """

    images: np.ndarray | None = None
    crops_whole: bool = False

    def __init__(
        self,
        name: str,
        num_examples: int,
        image_shape: tuple[int, int, int],
        *,
        labels: np.ndarray | None = None,
        class_names: Sequence[str] | None = None,
        sources: Sequence[str] | None = None,
        skipped: Sequence[tuple[str, str]] = (),
        missing: Sequence[str] = (),
        labelled_by: str = "the data set",
    ):
        if num_examples < 1:
            raise ValueError(f"The data set {name!r} holds no images.")
        self.name = name
        self.num_examples = int(num_examples)
        height, width, channels = map(int, image_shape)
        self.image_shape = height, width, channels
        self.class_names = None if class_names is None else tuple(class_names)
        self.sources = sources
        self.missing = tuple(missing)
        self.labelled_by = labelled_by
        self._labels = labels
        self._skipped = list(skipped)

    @property
    def labels(self) -> np.ndarray | None:
        return self._labels

    @property
    def class_counts(self) -> dict[str, int]:
        """How many images each class has, by its printable name, in the order of the classes."""
        if self.labels is None:
            return {}
        labels, counts = np.unique(self.labels[self.labels >= 0], return_counts=True)
        names = self.class_names
        return {
            str(label) if names is None else printable(names[label]): count
            for label, count in zip(labels.tolist(), counts.tolist(), strict=True)
        }

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        return tuple(self._skipped)

    def __len__(self) -> int:
        return self.num_examples

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {self.num_examples} x {self.image_shape}>"

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return ceil(N / batch_size): the last, smaller batch is kept."""
        return -(-self.num_examples // _check_batch_size(batch_size))

    def training_batches(
        self,
        batch_size: int,
        seed: int,
        first_epoch: int = 0,
        first_step: int = 0,
        rows: range | None = None,
        crop: WholeCrop | None = None,
    ) -> tf.data.Dataset:
        """Return endless (uint8 images [B, H, W, 3], int64 indices [B]), each epoch in a new order.

        The order of epoch e is a pure function of (seed, e), and no batch mixes two epochs. Starting
        at (first_epoch, first_step) yields what the uninterrupted stream yields from there; the
        batches before are passed over without being decoded. With `rows`, every batch is cut to the rows
        of those numbers, none where an epoch's last batch has none, and no others are decoded. With a
        `crop`, each image is a random cut of the whole photograph, a function of (seed, epoch, index).

        Raises:
            ValueError: a crop where there are no whole photographs, batch size below 1, seed outside 0..2^63-1, or a start that does not exist.
        """
        steps = self.steps_per_epoch(batch_size)
        if not 0 <= seed < 2**63:
            raise ValueError(f"The seed must be an integer from 0 to 2^63 - 1. Received: {seed!r}")
        if first_epoch < 0 or not 0 <= first_step <= steps:
            raise ValueError(
                f"Training starts at an epoch from 0 and a step from 0 to {steps}. "
                f"Received: first_epoch={first_epoch}, first_step={first_step}"
            )

        if crop is not None and not self.crops_whole:
            raise ValueError(f"{self.name!r} has no photographs to be cut when they are decoded.")

        def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
            step = tf.where(epoch == first_epoch, tf.cast(first_step, tf.int64), 0)
            return self._epoch_batches(EpochPart(batch_size, seed, epoch, step, rows, crop))

        batches = tf.data.Dataset.counter(first_epoch).flat_map(epoch_batches)
        batches = batches.apply(
            tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        )
        return _whole(batches.prefetch(tf.data.AUTOTUNE))

    def whole_crop(
        self, scale: tuple[float, float] | None, ratio: tuple[float, float], views: int
    ) -> WholeCrop | None:
        """Return the `crop` of such a scale and ratio; None where the model cuts what it is given.

        A scale of None, or both of (1, 1), cut nothing. Decoding gives one crop, for one view.
        """
        if not self.crops_whole or views > 1 or scale is None or scale == ratio == (1.0, 1.0):
            return None
        return WholeCrop(scale, ratio)

    def ordered_batches(self, batch_size: int, share: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """Return every image once, uint8 [b, H, W, 3], in index order.

        With a `share` (r, W), only the batches r, r + W, ...; no others are decoded.

        Raises:
            ValueError: batch size below 1.
        """
        batches = self._ordered_batches(_check_batch_size(batch_size), share)
        return _whole(batches.prefetch(tf.data.AUTOTUNE))

    @abc.abstractmethod
    def _ordered_batches(self, batch_size: int, share: tuple[int, int]) -> tf.data.Dataset:
        """Return a share of the batches in index order."""

    @abc.abstractmethod
    def _epoch_batches(self, part: EpochPart) -> tf.data.Dataset:
        """Return the batches (images, indices) of a part of an epoch."""

    @staticmethod
    def _shared(
        examples: tf.data.Dataset, batch_size: int, share: tuple[int, int]
    ) -> tf.data.Dataset:
        """Return the examples of the batches that a share has."""
        first, every = share
        if every == 1:
            return examples
        numbered = examples.enumerate().filter(
            lambda position, _: position // batch_size % every == first
        )
        return numbered.map(lambda _, example: example)

    def _decoded(
        self,
        examples: tf.data.Dataset,
        decode: Callable[..., tuple[tf.Tensor, tf.Tensor]],
        part: EpochPart,
    ) -> tf.data.Dataset:
        """Return a part's batches from what is decoded into its examples, one by one."""
        if part.rows is None:
            return examples.map(decode, tf.data.AUTOTUNE).batch(part.batch_size)
        rows = range(part.batch_size)[part.rows_of_batch]

        def is_wanted(position: tf.Tensor, _: tuple[tf.Tensor, ...]) -> tf.Tensor:
            row = position % part.batch_size
            return (row >= rows.start) & (row < rows.stop)

        examples = examples.enumerate().filter(is_wanted)
        batches = examples.map(lambda _, example: decode(*example), tf.data.AUTOTUNE)
        empty = tf.zeros([0, *self.image_shape], tf.uint8), tf.zeros([0], tf.int64)
        steps = self.steps_per_epoch(part.batch_size) - part.first_step
        batches = batches.batch(max(len(rows), 1))
        return batches.concatenate(tf.data.Dataset.from_tensors(empty).repeat()).take(steps)


def _whole(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The same batches; replicas are to share each, and no part of the data set is theirs alone."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.with_options(options)


def _check_batch_size(batch_size: int) -> int:
    if batch_size < 1:
        raise ValueError(f"The batch size must be at least 1. Received: {batch_size!r}")
    return int(batch_size)
