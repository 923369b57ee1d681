"""Colour operations against torchvision's definitions and the standard library's HSV."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import tensorflow as tf

from and_tf.data import colour


def random_planes(images: int = 6, pixels: int = 50) -> np.ndarray:
    """[3, images, pixels]; the first images hold the special cases."""
    rng = np.random.default_rng(0)
    planes = rng.uniform(0, 255, (3, images, pixels)).astype(np.float32)
    planes[:, 0] = rng.integers(0, 2, (3, pixels)) * 255.0  # black, white, primaries
    planes[:, 1] = rng.uniform(0, 255, pixels)  # grey: no hue
    planes[1, 2] = planes[0, 2]  # two channels equal
    planes[2, 3] = planes[1, 3]
    return planes


def test_grey_weights() -> None:
    planes = random_planes()
    expected = 0.2989 * planes[0] + 0.587 * planes[1] + 0.114 * planes[2]
    np.testing.assert_allclose(colour.grey(tuple(planes)), expected, rtol=1e-6)


def test_blend_clamps_the_mixture_with_grey_and_with_the_mean_of_grey() -> None:
    planes = random_planes()
    rng = np.random.default_rng(1)
    own, grey_part, mean_part = rng.uniform(-1, 2, (3, 6, 1)).astype(np.float32)
    greys = 0.2989 * planes[0] + 0.587 * planes[1] + 0.114 * planes[2]
    mixed = own * planes + grey_part * greys + mean_part * greys.mean(1, keepdims=True)
    assert mixed.min() < 0 and mixed.max() > 255
    got = colour.blend(tuple(planes), *map(tf.constant, (own, grey_part, mean_part)))
    np.testing.assert_allclose(got, np.clip(mixed, 0, 255), atol=1e-3)


def test_a_blend_of_one_part_its_own_changes_nothing() -> None:
    planes = random_planes()
    one, zero = tf.ones([6, 1]), tf.zeros([6, 1])
    np.testing.assert_array_equal(colour.blend(tuple(planes), one, zero, zero), planes)


def naive_hue(planes: np.ndarray, turns: np.ndarray) -> np.ndarray:
    expected = np.empty_like(planes)
    for i, j in np.ndindex(planes.shape[1:]):
        h, s, v = colorsys.rgb_to_hsv(*(planes[:, i, j].astype(float) / 255))
        expected[:, i, j] = colorsys.hsv_to_rgb((h + turns[i, 0]) % 1.0, s, v)
    return expected * 255


@pytest.mark.parametrize("turn", [-0.5, -0.4, -1 / 6, 0.0, 0.05, 1 / 3, 0.5])
def test_hue_turns_in_hsv(turn: float) -> None:
    planes = random_planes()
    turns = np.full((6, 1), turn, np.float32)
    got = np.stack(colour.shift_hue(tuple(planes), tf.constant(turns)))
    np.testing.assert_allclose(got, naive_hue(planes, turns), atol=1e-2)
    assert got.min() >= 0 and got.max() <= 255
