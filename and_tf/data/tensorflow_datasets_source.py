"""Image classification data sets by name, from TensorFlow Datasets (TFDS)."""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import textwrap
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from and_tf.data.image_set import ImageSet
from and_tf.data.in_memory import fits_in_memory
from and_tf.data.records import StreamedRecords
from and_tf.data.resizing import CROPPED_FROM, cut_array, keeps, resize_array
from and_tf.data.whole_crop import WholeCrop

logger = logging.getLogger(__name__)


def load_tensorflow_datasets(
    name: str,
    *,
    data_dir: str | None = None,
    train_split: str = "train",
    test_split: str | None = "test",
    image_size: int | None = None,
    in_memory: bool | Literal["auto"] = "auto",
) -> tuple[ImageSet, ImageSet | None]:
    """Return two splits of a builder; an example's index is its position in the split's files.

    Args:
        name: the builder, such as "cifar10", "svhn_cropped" or "caltech_birds2011".
        data_dir: where prepared data sets lie, and where others are prepared
            (None: ~/tensorflow_datasets).
        train_split, test_split: TFDS split expressions, such as "train[:90%]"; `test_split` may
            be None.
        image_size: side to which images are resized (see `resize`); needed where they vary.
        in_memory: decode everything now; "auto" does so up to 2 GiB and streams what is larger.

    Raises:
        ValueError: unknown name or split, no usable image feature, images of varying size, or data
            that is not there and cannot be prepared.
    """
    if train_split == test_split:
        raise ValueError(
            f"The train and test splits must differ. Received: {train_split!r} for both"
        )
    if data_dir is not None:
        data_dir = os.path.expanduser(data_dir)
        if not os.path.isdir(data_dir):
            raise ValueError(
                "The data directory does not exist: create it if data sets are to be downloaded "
                f"there. Received: {data_dir!r}"
            )
    builder = _prepared_builder(name, data_dir)
    splits = (train_split,) if test_split is None else (train_split, test_split)
    streams = [_stream(builder, split, image_size) for split in splits]
    image_sets = [
        stream.decode_all() if fits_in_memory(in_memory, stream) else stream for stream in streams
    ]
    return image_sets[0], image_sets[1] if test_split is not None else None


def _prepared_builder(name: str, data_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        names = tfds.list_builders(with_community_datasets=False)
        near = ", ".join(difflib.get_close_matches(name, names, n=5)) or "none"
        raise ValueError(
            f"TensorFlow Datasets has no builder {name!r}, and there is none in "
            f"{data_dir or '~/tensorflow_datasets'}. Near names: {near}."
        ) from None
    except Exception as error:  # A malformed name, config or version raises many types.
        raise ValueError(f"TensorFlow Datasets cannot open {name!r}: {_summary(error)}") from error
    if not builder.is_prepared():
        # Files written by another version of the builder serve as well.
        with contextlib.suppress(Exception):
            any_version = tfds.builder(f"{name}:*.*.*", data_dir=data_dir)
            builder = any_version if any_version.is_prepared() else builder
    if not builder.is_prepared():
        logger.warning("%s is not prepared under %s: downloading it.", name, builder.data_dir)
        try:
            builder.download_and_prepare()
        except Exception as error:  # Network, disk, manual downloads, checksums, ...
            raise ValueError(
                f"{name!r} is not prepared under {builder.data_dir}, and preparing it failed: "
                f"{_summary(error)} Prepare it where there is a network (`tfds build {name}`) and "
                "give the directory that holds it as data_dir."
            ) from error
    return builder


def _stream(builder: Any, split: str, image_size: int | None) -> StreamedRecords:
    import tensorflow_datasets as tfds

    image_key, label_key = _feature_keys(builder)
    image = builder.info.features[image_key]
    if image_size is None and None in image.shape:
        raise ValueError(
            f"The images of {builder.name!r} differ in size: set data.image_size, the side in pixels "
            "to which they are resized. Received: image_size=None"
        )

    def decoder(key: str) -> Callable[[tf.Tensor], tf.Tensor]:
        """From a record to one of its features; the others are not decoded."""
        only = tfds.features.FeaturesDict({key: builder.info.features[key]})
        return lambda record: only.deserialize_example(record)[key]

    decode_pixels = decoder(image_key)

    def decode_whole(record: tf.Tensor) -> tf.Tensor:
        pixels = decode_pixels(record)
        return tf.repeat(pixels, 3, axis=-1) if image.shape[-1] == 1 else pixels

    def decode_cut(record: tf.Tensor, crop: WholeCrop, draws: tf.Tensor) -> tf.Tensor:
        assert image_size is not None  # or there is nothing to cut

        def cut(pixels: np.ndarray, draws: np.ndarray) -> np.ndarray:
            return cut_array(pixels, image_size, crop.box(draws.tolist(), *pixels.shape[:2]))

        pixels = tf.numpy_function(cut, [decode_whole(record), draws], tf.uint8, stateful=False)
        return tf.ensure_shape(pixels, [image_size, image_size, 3])

    def decode_image(record: tf.Tensor) -> tf.Tensor:
        pixels = decode_whole(record)
        if image_size is None or keeps(image.shape[:2], image_size):
            return pixels
        # Pillow takes a fifth of the time of TensorFlow's antialiased resizing.
        pixels = tf.numpy_function(
            lambda pixels: resize_array(pixels, image_size), [pixels], tf.uint8, stateful=False
        )
        return tf.ensure_shape(pixels, [image_size, image_size, 3])

    try:
        return StreamedRecords(
            f"{builder.name}/{split}",
            builder.info.splits[split].file_instructions,
            (*((image_size, image_size) if image_size else image.shape[:2]), 3),
            decode_image,
            decoder(label_key) if label_key else None,
            class_names=builder.info.features[label_key].names if label_key else None,
            decode_cut=decode_cut if image_size and image_size >= CROPPED_FROM else None,
        )
    except (ValueError, KeyError, AssertionError) as error:
        raise ValueError(
            f"{builder.name!r} has no split {split!r}, or nothing in it: {_summary(error)} "
            f"Its splits: {', '.join(builder.info.splits)}."
        ) from error
    except tf.errors.OpError as error:
        raise ValueError(
            f"A file of {builder.name!r} is missing or cannot be read: {_summary(error)} Prepare "
            f"the data set again (delete {builder.data_dir} first)."
        ) from error


def _feature_keys(builder: Any) -> tuple[str, str | None]:
    """Return the names of the image and of the label (None without one)."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features.items())
    images = [key for key, feature in features.items() if type(feature) is tfds.features.Image]
    labels = [key for key, feature in features.items() if type(feature) is tfds.features.ClassLabel]
    supervised = builder.info.supervised_keys or ()
    image = next((key for key in images if key in supervised), images[0] if images else None)
    label = next(
        (key for key in labels if key in supervised), "label" if "label" in labels else None
    )
    if (
        image is None
        or features[image].np_dtype != np.uint8
        or features[image].shape[-1] not in (1, 3)
    ):
        raise ValueError(
            f"{builder.name!r} is not an image classification data set: it needs an 8-bit image, "
            f"grey or RGB. Its features: {', '.join(f'{k}: {v}' for k, v in features.items())}"
        )
    return image, label


def _summary(error: Exception) -> str:
    """Return an error's text as one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return textwrap.shorten(text, width=400, placeholder=" ...").rstrip(".") + "."
