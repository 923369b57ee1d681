"""Where images come from: the embedded digits, TensorFlow Datasets, a folder, or arrays.

An image set gives uint8 images with indices in a reproducible order; `augment` makes random views of
them. Nothing here knows of encoders, of the model or of devices.

Other rooms use `augment`, `folder_labels`, `image_set`, `in_memory`, `resizing` and
`whole_crop`.
"""

from __future__ import annotations

from typing import Literal

from and_tf.data.image_set import ImageSet
from and_tf.data.in_memory import InMemoryImageSet, from_arrays

__all__ = ["ImageSet", "InMemoryImageSet", "from_arrays", "load"]


def load(
    source: Literal["digits", "tfds", "folder"],
    *,
    name: str | None = None,
    data_dir: str | None = None,
    path: str | None = None,
    test_path: str | None = None,
    labels: str | None = None,
    train_split: str = "train",
    test_split: str | None = "test",
    image_size: int | None = None,
    test_fraction: float = 0.0,
    in_memory: bool | Literal["auto"] = "auto",
) -> tuple[ImageSet, ImageSet | None]:
    """Return the training images and, where there are any, the held-out ones.

    Args:
        source: "digits" (`load_digits`), "tfds" (`load_tensorflow_datasets`: name, data_dir,
            train_split, test_split) or "folder" (`load_folder`: path, test_path, labels,
            test_fraction). The arguments of the other sources are left alone.
        image_size: side in pixels to which images are resized; None keeps theirs.
        in_memory: decode everything once and keep it; "auto" does so up to 2 GiB.

    Raises:
        ValueError: an unknown source, an argument that the source needs and does not get, or data
            that cannot be loaded.
    """
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size must be at least 1 pixel. Received: {image_size}")
    # Each source is imported here: what it needs takes seconds to import.
    if source == "digits":
        from and_tf.data.digits import load_digits

        return load_digits(image_size)
    if source == "tfds":
        from and_tf.data.tensorflow_datasets_source import load_tensorflow_datasets

        return load_tensorflow_datasets(
            _needed(name, "name", source),
            data_dir=data_dir,
            train_split=train_split,
            test_split=test_split,
            image_size=image_size,
            in_memory=in_memory,
        )
    if source == "folder":
        from and_tf.data.folder import load_folder

        return load_folder(
            _needed(path, "path", source),
            test_path=test_path,
            labels=labels,
            image_size=image_size,
            test_fraction=test_fraction,
            in_memory=in_memory,
        )
    raise ValueError(f'The source must be "digits", "tfds" or "folder". Received: {source!r}')


def _needed(value: str | None, argument: str, source: str) -> str:
    if not value:
        raise ValueError(f'The source "{source}" needs `{argument}`. Received: {value!r}')
    return value
