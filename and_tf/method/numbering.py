"""Whether a data set gives each image the same id in every epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def shuffles_before_numbering(data: tf.data.Dataset) -> bool:
    """Whether a data set shuffles anew in each epoch what it numbers, or zips with ids, afterwards.

    It is read off the data set's own structure, which is no part of TensorFlow's public interface:
    what cannot be read is taken for right. Functions that give data sets are not looked into.
    """
    inputs = data._inputs() if hasattr(data, "_inputs") else []
    if type(data).__name__ == "_ZipDataset":  # also what `enumerate` makes
        return any(map(_shuffles, inputs))
    return any(map(shuffles_before_numbering, inputs))


def _shuffles(data: tf.data.Dataset) -> bool:
    return getattr(data, "_reshuffle_each_iteration", False) is True or any(
        map(_shuffles, data._inputs())
    )


def check_numbering(data: Any) -> None:
    """Raise ValueError where the first images of two epochs have other ids each time.

    Images are compared only where the data set `shuffles_before_numbering`.
    """
    if not isinstance(data, tf.data.Dataset) or not shuffles_before_numbering(data):
        return
    if not isinstance(data.element_spec, tuple) or len(data.element_spec) < 2:
        return  # the step says what is wrong with it
    first: dict[int, np.ndarray] = {}
    second: dict[int, np.ndarray] = {}
    for epoch in (first, second):
        for images, ids, *_ in data.take(1):
            epoch.update(zip(np.ravel(ids).tolist(), np.asarray(images), strict=False))
    moved = [id for id in first if id in second and not np.array_equal(first[id], second[id])]
    if moved:
        raise ValueError(
            "The data set gives an id to another image in each epoch, since it shuffles before it "
            "numbers: number first, images.enumerate().shuffle(1000), or shuffle once, "
            "images.shuffle(1000, reshuffle_each_iteration=False). image_dataset_from_directory and "
            f"list_files take shuffle=False. Received: {len(moved)} ids with other images, the first "
            f"{moved[0]}"
        )
