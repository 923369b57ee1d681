from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from and_tf.data.resizing import resize_array
from and_tf.exporting.graph_resizing import resize_image


@functools.cache
def resizer(image_shape, image_size):
    return tf.function(
        lambda image: resize_image(image, image_shape, image_size),
        input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)],
        autograph=False,
    )


def picture(height: int, width: int) -> np.ndarray:
    """Colours that change slowly, with an edge here and there."""
    random = np.random.default_rng(height * 1000 + width)
    coarse = random.integers(0, 256, [-(-height // 6), -(-width // 6), 3], np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("image_size", [16, 32, 63, 64, 224])
@pytest.mark.parametrize(
    "size", [(9, 7), (32, 32), (17, 300), (375, 500), (500, 333), (64, 64), (1, 1), (1, 50)]
)
def test_gives_pillows_pixels(size, image_size):
    image = picture(*size)
    expected = resize_array(image, image_size).astype(int)
    found = resizer((image_size, image_size, 3), image_size)(image).numpy().astype(int)
    difference = np.abs(found - expected)
    assert difference.max() <= 2
    is_tall = size[0] > size[1]  # where Pillow, from version 13 on, begins with the rows
    assert difference.mean() <= (0.25 if is_tall else 0.02)


def test_images_that_kept_their_size_are_left_alone():
    image = np.random.default_rng(0).integers(0, 256, (80, 70, 3), np.uint8)
    np.testing.assert_array_equal(resizer((80, 70, 3), None)(image), image)


def test_without_an_image_size_the_whole_image_is_resized():
    image = np.zeros((160, 140, 3), np.uint8)
    image[:80] = 200
    found = resizer((80, 70, 3), None)(image).numpy()
    assert found.shape == (80, 70, 3)
    assert (found[:39] == 200).all() and (found[41:] == 0).all()
