"""Image classification data sets by name, from TensorFlow Datasets (TFDS)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from and_tf.data.in_memory import InMemoryImageSet
from and_tf.data.resizing import resize


def load_tensorflow_datasets(
    name: str,
    *,
    data_dir: str | None = None,
    train_split: str = "train",
    test_split: str | None = "test",
    image_size: int | None = None,
    in_memory: bool | str = "auto",
):
    builder = _prepared_builder(name, data_dir)
    return tuple(
        None if split is None else _load_split(builder, split, image_size)
        for split in (train_split, test_split)
    )


def _prepared_builder(name, data_dir):
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=data_dir)
    builder.download_and_prepare()
    return builder


def _load_split(builder: Any, split: str, image_size: int | None) -> InMemoryImageSet:
    import tensorflow_datasets as tfds

    read_config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    examples = builder.as_dataset(split=split, read_config=read_config)

    def decode(example):
        image = example["image"]
        if image.shape[-1] == 1:
            image = tf.repeat(image, 3, axis=-1)
        return resize(image, image_size), example["label"]

    examples = examples.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(512)
    images, labels = zip(*examples.as_numpy_iterator(), strict=True)
    return InMemoryImageSet(
        f"{builder.name}/{split}",
        np.concatenate(images),
        labels=np.concatenate(labels),
        class_names=builder.info.features["label"].names,
    )
