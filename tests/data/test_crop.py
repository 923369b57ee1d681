"""Crops against torchvision's rules in plain Python, and resizing against Pillow."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from and_tf.data.crop import crop_boxes, interpolate, positions


def naive_box(uniforms, height, width, scale, ratio) -> tuple[int, int, int, int]:
    """Top, left, height, width for one example's 22 numbers, try by try."""
    for area_draw, ratio_draw in zip(uniforms[:10], uniforms[10:20]):
        area = height * width * (scale[0] + (scale[1] - scale[0]) * float(area_draw))
        low, high = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(low + (high - low) * float(ratio_draw))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top = math.floor(float(uniforms[20]) * (height - h + 1))
            left = math.floor(float(uniforms[21]) * (width - w + 1))
            return top, left, h, w
    w, h = width, height
    if width / height < min(ratio):
        h = round(w / min(ratio))
    elif width / height > max(ratio):
        w = round(h * max(ratio))
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize(
    "height, width, scale, ratio",
    [
        (32, 32, (0.2, 1.0), (3 / 4, 4 / 3)),
        (20, 41, (0.08, 1.0), (3 / 4, 4 / 3)),
        (16, 16, (1.0, 1.0), (1.0, 1.0)),
        # Nothing fits: tall, wide and square fallbacks.
        (50, 9, (0.9, 1.0), (3 / 4, 4 / 3)),
        (9, 50, (0.9, 1.0), (3 / 4, 4 / 3)),
        (12, 12, (0.99, 1.0), (2.0, 3.0)),
        (12, 12, (0.99, 1.0), (0.3, 0.5)),
    ],
)
def test_boxes_follow_torchvisions_rules(height, width, scale, ratio) -> None:
    uniforms = np.random.default_rng(0).random((300, 22), dtype=np.float32)
    boxes = np.stack(crop_boxes(tf.constant(uniforms), height, width, scale, ratio), axis=1)
    expected = [naive_box(row, height, width, scale, ratio) for row in uniforms]
    np.testing.assert_array_equal(boxes, expected)


def test_the_largest_draw_stays_inside_the_image() -> None:
    uniforms = tf.fill([1, 22], np.float32(1 - 2**-24))
    top, left, height, width = crop_boxes(uniforms, 331, 97, (0.05, 0.1), (0.9, 1.1))
    assert top + height == 331
    assert left + width == 97


def test_crops_cover_the_areas_ratios_and_places_they_should() -> None:
    uniforms = tf.constant(np.random.default_rng(1).random((20_000, 22), dtype=np.float32))
    size, scale, ratio = 1000, (0.2, 0.5), (3 / 4, 4 / 3)
    top, left, height, width = (v.numpy() for v in crop_boxes(uniforms, size, size, scale, ratio))
    shares = height * width / size**2
    assert shares.mean() == pytest.approx(0.35, abs=0.004)
    assert shares.std() == pytest.approx(0.3 / 12**0.5, abs=0.004)
    assert np.log(width / height).mean() == pytest.approx(0.0, abs=0.01)
    for start, length in ((top, height), (left, width)):
        assert (start / (size - length)).mean() == pytest.approx(0.5, abs=0.015)


@pytest.mark.parametrize("size", [8, 13, 32])
def test_resizing_a_crop_equals_pillows(size: int) -> None:
    rng = np.random.default_rng(size)
    image = rng.uniform(0, 255, (size, size)).astype(np.float32)
    boxes = [(0, 0, size, size), (2, 1, 5, 4), (size - 1, 0, 1, size), (0, size - 3, size, 3)]
    for top, left, height, width in boxes:
        crop = Image.fromarray(image[top : top + height, left : left + width])
        expected = crop.resize((size, size), Image.Resampling.BILINEAR)
        rows = positions(tf.constant([float(top)]), tf.constant([float(height)]), size)
        columns = positions(tf.constant([float(left)]), tf.constant([float(width)]), size)
        got = interpolate(image[None], rows)
        got = interpolate(tf.transpose(got, [0, 2, 1]), columns)[0].numpy().T
        np.testing.assert_allclose(got, np.asarray(expected), atol=1e-3)


def naive_weights(start: int, length: int, size: int) -> np.ndarray:
    weights = np.zeros((size, size))
    step = length / size
    for i in range(size):
        centre = (i + 0.5) * step
        for j in range(length):
            weights[i, start + j] = max(0.0, 1.0 - abs(j + 0.5 - centre))
        weights[i] /= weights[i].sum()
    return weights


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_interpolation_equals_naive_weights(dtype) -> None:
    starts, lengths = [0.0, 3.0, 0.0, 11.0], [12.0, 5.0, 1.0, 1.0]
    lines = np.random.default_rng(0).integers(0, 256, (4, 12, 5)).astype(dtype)
    places = positions(tf.constant(starts), tf.constant(lengths), 12)
    got = interpolate(lines, places)
    weights = [naive_weights(int(s), int(n), 12) for s, n in zip(starts, lengths)]
    np.testing.assert_allclose(got, np.matmul(weights, lines), atol=1e-3)
    np.testing.assert_array_equal(got[0], lines[0])
    assert got.dtype == tf.float32
