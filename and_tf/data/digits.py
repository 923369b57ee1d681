"""The embedded default: scikit-learn's bundled handwritten digits, nothing to download."""

from __future__ import annotations

import os

import numpy as np

from and_tf.data.in_memory import InMemoryImageSet
from and_tf.data.resizing import resize_array

TEST_EXAMPLES = 360


def load_digits(image_size: int | None = None) -> tuple[InMemoryImageSet, InMemoryImageSet]:
    """Return 1,437 training and 360 test digits, 16x16 pixels, in one fixed stratified split.

    The source's 8x8 pixels of 0..16 (UCI, Optical Recognition of Handwritten Digits) become 0..255,
    are doubled to 16x16, and the grey is repeated to 3 channels. `image_size` resizes them further.
    """
    from sklearn import datasets, model_selection

    digits = datasets.load_digits()
    grey = np.round(digits.images * (255 / 16)).astype(np.uint8)
    images = np.repeat(np.repeat(grey, 2, axis=1), 2, axis=2)
    images = np.repeat(images[..., np.newaxis], 3, axis=-1)
    images = np.stack([resize_array(image, image_size) for image in images])
    labels = digits.target.astype(np.int64)
    train, test = model_selection.train_test_split(
        np.arange(len(images)), test_size=TEST_EXAMPLES, random_state=0, stratify=labels
    )
    class_names = tuple(str(name) for name in digits.target_names)

    def part(name: str, rows: np.ndarray) -> InMemoryImageSet:
        rows = np.sort(rows)
        return InMemoryImageSet(name, images[rows], labels=labels[rows], class_names=class_names)

    return part("digits/train", train), part("digits/test", test)


def save_held_out_digit(path: str | os.PathLike) -> None:
    """Write one of the test digits, a 4, as an image file."""
    from PIL import Image

    _, test = load_digits()
    assert test.images is not None and test.labels is not None
    Image.fromarray(test.images[test.labels.tolist().index(4)]).save(path)
