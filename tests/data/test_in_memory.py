from __future__ import annotations

import numpy as np
import pytest

from and_tf.data import from_arrays, in_memory
from and_tf.data.in_memory import allocate, fits_in_memory

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 4, 3), np.uint8)


def test_arrays_are_kept_as_they_are():
    image_set = from_arrays(IMAGES, labels=[3, 1, 2, 0, 1], name="mine")
    assert (image_set.name, image_set.num_examples, image_set.image_shape) == ("mine", 5, (6, 4, 3))
    assert image_set.images.dtype == np.uint8 and image_set.images.flags.c_contiguous
    np.testing.assert_array_equal(image_set.images, IMAGES)
    np.testing.assert_array_equal(image_set.labels, [3, 1, 2, 0, 1])
    assert image_set.labels.dtype == np.int64
    assert image_set.class_names is image_set.sources is None and image_set.skipped == ()


def test_later_changes_of_the_array_do_not_reach_the_set():
    images = IMAGES.copy()
    image_set = from_arrays(images)
    images[:] = 0
    np.testing.assert_array_equal(image_set.images, IMAGES)
    np.testing.assert_array_equal(next(iter(image_set.ordered_batches(5))), IMAGES)


@pytest.mark.parametrize("images", [IMAGES[..., 0], IMAGES[..., :1], list(IMAGES[..., 0])])
def test_grey_is_repeated(images):
    expected = np.stack([IMAGES[..., 0]] * 3, axis=-1)
    np.testing.assert_array_equal(from_arrays(images).images, expected)


@pytest.mark.parametrize(
    "images, message",
    [
        (IMAGES / 255, "uint8.*Received: float64"),
        (IMAGES.astype(np.int64), "uint8.*Received: int64"),
        (IMAGES[0, 0], r"Received: \(4, 3\)"),
        (IMAGES[..., :2], r"Received: \(5, 6, 4, 2\)"),
        (IMAGES[:, :0], r"Received: \(5, 0, 4, 3\)"),
        (IMAGES[:0], "holds no images"),
        ([], "holds no images"),
        ([IMAGES[0], IMAGES[0, :3]], r"same shape.*Received: \(3, 4, 3\), \(6, 4, 3\)"),
        (7, "Received: int"),
    ],
)
def test_wrong_images(images, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(images)


@pytest.mark.parametrize(
    "labels, message",
    [
        ([0, 1], r"5 integers.*Received: int64 of shape \(2,\)"),
        ([0.5] * 5, "Received: float64"),
        ([None] * 5, "Received: object"),
        ([[0]] * 5, r"shape \(5, 1\)"),
    ],
)
def test_wrong_labels(labels, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(IMAGES, labels)


def test_auto_keeps_what_is_small(monkeypatch):
    image_set = from_arrays(IMAGES)
    monkeypatch.setattr(in_memory, "MAX_BYTES", IMAGES.nbytes)
    assert fits_in_memory("auto", image_set)
    monkeypatch.setattr(in_memory, "MAX_BYTES", IMAGES.nbytes - 1)
    assert not fits_in_memory("auto", image_set)
    assert fits_in_memory(True, image_set)
    assert not fits_in_memory(False, image_set)


def test_too_little_memory_is_one_clear_error():
    image_set = from_arrays(IMAGES)
    image_set.num_examples = 2**55
    with pytest.raises(ValueError, match="GiB.*in_memory=False"):
        allocate(image_set)


def test_strings_are_labels():
    labels = ["dog", "", "cat", "dog"]
    images = from_arrays(np.zeros((4, 2, 2, 3), np.uint8), labels)
    assert images.class_names == ("cat", "dog") and images.labels.tolist() == [1, -1, 0, 1]
    assert from_arrays(np.zeros((2, 2, 2, 3), np.uint8), [2**62, 5]).labels.tolist() == [2**62, 5]
