"""Where images come from: the embedded digits, TensorFlow Datasets, a folder, or arrays."""

from __future__ import annotations

from typing import Any

from and_tf.data.image_set import ImageSet
from and_tf.data.in_memory import InMemoryImageSet, from_arrays

__all__ = ["ImageSet", "InMemoryImageSet", "from_arrays", "load"]


def load(source: str, **options: Any) -> tuple[ImageSet, ImageSet | None]:
    """Return the training images and, where there are any, the held-out ones."""
    if source == "digits":
        from and_tf.data.digits import load_digits

        return load_digits()
    options = {key: value for key, value in options.items() if value is not None}
    if source == "tfds":
        from and_tf.data.tensorflow_datasets_source import (
            load_tensorflow_datasets as load_source,
        )
    else:
        raise ValueError(f'source must be "digits", "tfds" or "folder". Received: {source!r}')
    for key in ("path", "test_path", "labels", "test_fraction"):
        options.pop(key, None)
    return load_source(**options)
