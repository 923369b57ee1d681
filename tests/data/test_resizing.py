from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from and_tf.data.resizing import resize_array


def random_image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


def triangle_weights(size: int, resized: int) -> np.ndarray:
    """The antialiased bilinear filter from the formula, one output pixel after the other."""
    weights = np.zeros((resized, size))
    shrinkage = max(1.0, size / resized)
    for output in range(resized):
        centre = (output + 0.5) * size / resized
        distances = np.abs(np.arange(size) + 0.5 - centre)
        weights[output] = np.maximum(0, 1 - distances / shrinkage)
        weights[output] /= weights[output].sum()
    return weights


def naive_resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = triangle_weights(image.shape[0], height)
    columns = triangle_weights(image.shape[1], width)
    return np.einsum("yh,hwc,xw->yxc", rows, image.astype(float), columns, optimize=True)


@pytest.mark.parametrize("height, width, image_size", [(40, 30, 32), (20, 50, 8), (7, 9, 20)])
def test_small_images_are_resized_whole(height, width, image_size):
    image = random_image(height, width)
    found = resize_array(image, image_size)
    assert found.dtype == np.uint8 and found.shape == (image_size, image_size, 3)
    np.testing.assert_allclose(found, naive_resize(image, image_size, image_size), atol=1.01)


@pytest.mark.parametrize(
    "height, width, resized, top, left",
    [
        (100, 120, (80, 96), 5, 13),  # shorter side 70 * 256 / 224 = 80
        (120, 101, (95, 80), 12, 5),
        (40, 40, (80, 80), 5, 5),
        (30, 300, (80, 800), 5, 365),
    ],
)
def test_larger_images_are_resized_and_cropped(height, width, resized, top, left):
    image = random_image(height, width)
    expected = naive_resize(image, *resized)[top : top + 70, left : left + 70]
    found = resize_array(image, 70)
    np.testing.assert_allclose(found, expected, atol=1.01)


def test_pillow_resizes_alike():
    image = random_image(300, 400)
    small = Image.fromarray(image).resize((341, 256), Image.Resampling.BILINEAR)
    expected = np.asarray(small)[16:240, 58:282]
    found = resize_array(image, 224)
    assert np.abs(found.astype(int) - expected).max() <= 2


def test_a_very_long_image_needs_no_long_buffer():
    assert resize_array(random_image(1, 100_000), 64).shape == (64, 64, 3)


def test_no_image_size_leaves_the_image_alone():
    image = random_image(5, 7)
    assert resize_array(image, None) is image


def test_an_image_of_the_right_size_is_kept_unless_a_border_is_cut_off():
    small, large = random_image(20, 20), random_image(70, 70)
    assert resize_array(small, 20) is small
    assert not np.array_equal(resize_array(large, 70), large)
