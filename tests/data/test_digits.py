from __future__ import annotations

import numpy as np
import sklearn.datasets
from PIL import Image

from and_tf.data.digits import load_digits, save_held_out_digit


def test_split_is_stratified_and_complete():
    train, test = load_digits()
    assert (train.num_examples, test.num_examples) == (1437, 360)
    share = np.bincount(test.labels) / np.bincount(np.concatenate([train.labels, test.labels]))
    np.testing.assert_allclose(share, 360 / 1797, atol=0.01)
    assert train.class_names == tuple("0123456789")


def test_pixels_are_scaled_doubled_and_repeated():
    train, test = load_digits()
    assert train.image_shape == test.image_shape == (16, 16, 3)
    images = np.concatenate([train.images, test.images])
    assert images.min() == 0 and images.max() == 255
    for channel in (1, 2):
        np.testing.assert_array_equal(images[..., channel], images[..., 0])
    for row, column in ((0, 1), (1, 0), (1, 1)):
        np.testing.assert_array_equal(images[:, row::2, column::2], images[:, ::2, ::2])
    found = sorted(np.round(image[::2, ::2, 0] * (16 / 255)).tobytes() for image in images)
    source = sorted(image.tobytes() for image in sklearn.datasets.load_digits().images)
    assert found == source


def test_two_loads_are_equal():
    for one, other in zip(load_digits(), load_digits(), strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_image_size():
    train, test = load_digits(image_size=24)
    assert train.image_shape == test.image_shape == (24, 24, 3)


def test_a_held_out_digit_as_a_file(tmp_path):
    save_held_out_digit(tmp_path / "digit.png")
    _, test = load_digits()
    with Image.open(tmp_path / "digit.png") as image:
        (place,) = np.flatnonzero((test.images == np.array(image)).all(axis=(1, 2, 3)))
    assert test.class_names[test.labels[place]] == "4"
