"""The whole augmentation against one image at a time, torchvision's formulas in NumPy."""

from __future__ import annotations

import colorsys
import itertools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from and_tf.data.augment import Augment
from and_tf.data.threefry import uniform

OFF = {
    "crop_scale": None,
    "brightness": 0,
    "contrast": 0,
    "saturation": 0,
    "hue": 0,
    "greyscale": 0,
}


def random_images(batch: int = 8, height: int = 12, width: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), dtype=np.uint8)


def naive_grey(image: np.ndarray) -> np.ndarray:
    return (image @ [0.2989, 0.587, 0.114])[..., None]


def naive_resize(line: np.ndarray, start: int, length: int) -> np.ndarray:
    """The first axis, pixels start .. start + length - 1, to its own size."""
    size = len(line)
    out = np.zeros_like(line)
    for i in range(size):
        centre = (i + 0.5) * length / size
        weights = [max(0.0, 1 - abs(j + 0.5 - centre)) for j in range(length)]
        out[i] = np.tensordot(weights, line[start : start + length], axes=1) / sum(weights)
    return out


def naive_crop(image: np.ndarray, draws: np.ndarray, scale: tuple, ratio: tuple) -> np.ndarray:
    height, width = image.shape[:2]
    for area_draw, ratio_draw in zip(draws[:10], draws[10:20]):
        area = height * width * (scale[0] + (scale[1] - scale[0]) * area_draw)
        aspect = np.exp(np.log(ratio[0]) + (np.log(ratio[1]) - np.log(ratio[0])) * ratio_draw)
        w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            break
    else:
        raise AssertionError("the tests of crops cover the fallback")
    top, left = int(draws[20] * (height - h + 1)), int(draws[21] * (width - w + 1))
    image = naive_resize(image, top, h)
    return naive_resize(image.transpose(1, 0, 2), left, w).transpose(1, 0, 2)


def naive_hue(image: np.ndarray, turns: float) -> np.ndarray:
    out = np.empty_like(image)
    for i, j in np.ndindex(image.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*(image[i, j] / 255))
        out[i, j] = colorsys.hsv_to_rgb((h + turns) % 1.0, s, v)
    return out * 255


def naive_augment(image: np.ndarray, draws: np.ndarray, config: dict) -> np.ndarray:
    image, draws = image.astype(float), draws.astype(float)
    if config["crop_scale"] is not None:
        image = naive_crop(image, draws, config["crop_scale"], config["crop_ratio"])

    def factor(name: str, draw: float) -> float:
        low, high = max(0.0, 1 - config[name]), 1 + config[name]
        return low + (high - low) * draw

    b, c, s = (
        factor(n, draws[22 + i]) for i, n in enumerate(("brightness", "contrast", "saturation"))
    )
    turns = config["hue"] * (2 * draws[25] - 1)
    jitters = {
        "brightness": lambda x: b * x,
        "contrast": lambda x: c * x + (1 - c) * naive_grey(x).mean(),
        "saturation": lambda x: s * x + (1 - s) * naive_grey(x),
        "hue": lambda x: naive_hue(x, turns),
    }
    orders = list(itertools.permutations(name for name in jitters if config[name]))
    for name in orders[int(draws[26] * len(orders))]:
        image = np.clip(jitters[name](image), 0, 255)
    if draws[27] < config["greyscale"]:
        image = np.repeat(naive_grey(image), 3, axis=2)
    if config["flip"] and draws[28] < 0.5:
        image = image[:, ::-1]
    return image


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"flip": True, "greyscale": 0.5, "crop_scale": (0.08, 0.6)},
        {"brightness": 2.0, "contrast": 2.0, "saturation": 2.0, "hue": 0.5},
        {"hue": 0, "flip": True},
        {"contrast": 0, "crop_scale": None, "flip": True},
        {"brightness": 0, "contrast": 0, "saturation": 0},
        {"brightness": 0, "hue": 0, "greyscale": 0},
    ],
)
@pytest.mark.parametrize("height, width", [(12, 12), (9, 11)])
def test_every_image_goes_through_torchvisions_operations(options, height, width) -> None:
    augment = Augment(**options)
    images = random_images(48, height, width)
    indices = np.arange(48) * 7
    got = augment(images, indices, epochs=3, seed=11)
    assert got.dtype == tf.float32
    draws = uniform(11, 3, indices, 29).numpy()
    config = augment.get_config()
    expected = [naive_augment(image, row, config) for image, row in zip(images, draws)]
    # Pixels are 0 to 255: float32 against float64 through up to four operations.
    np.testing.assert_allclose(got, expected, atol=0.02)


def test_all_orders_of_the_jitter_occur_alike() -> None:
    orders = np.floor(uniform(0, 0, tf.range(24_000), 29)[:, 26].numpy() * 24).astype(int)
    counts = np.bincount(orders, minlength=24)
    assert len(counts) == 24
    assert np.abs(counts - 1000).max() < 5 * 1000**0.5


def test_everything_off_returns_the_pixels() -> None:
    images = random_images()
    np.testing.assert_array_equal(Augment(**OFF)(images, np.arange(8), 0, 0), images)


def test_probabilities_of_grey_and_flip() -> None:
    size = 4000
    images = tf.tile(tf.constant(random_images(1, 2, 2)), [size, 1, 1, 1])
    pixels = Augment(**{**OFF, "greyscale": 0.2})(images, tf.range(size), 0, 1).numpy()
    is_grey = (pixels[..., 0] == pixels[..., 1]).all((1, 2)) & (
        pixels[..., 1] == pixels[..., 2]
    ).all((1, 2))
    assert is_grey.mean() == pytest.approx(0.2, abs=0.03)
    np.testing.assert_array_equal(pixels[~is_grey], images.numpy()[~is_grey])

    pixels = Augment(**OFF, flip=True)(images, tf.range(size), 0, 1).numpy()
    flipped = (pixels == images.numpy()[:, :, ::-1]).all((1, 2, 3))
    assert flipped.mean() == pytest.approx(0.5, abs=0.04)
    np.testing.assert_array_equal(pixels[~flipped], images.numpy()[~flipped])


def test_so_many_images_are_jittered_and_no_other_number_changes() -> None:
    size = 2000
    images = tf.tile(tf.constant(random_images(1, 2, 2)), [size, 1, 1, 1])
    options = {**OFF, "brightness": 0.4, "contrast": 0.4}
    always = Augment(**options)(images, tf.range(size), 0, 1).numpy()
    pixels = Augment(**options, jitter_probability=0.3)(images, tf.range(size), 0, 1).numpy()
    jittered = (pixels != images.numpy()).any((1, 2, 3))
    assert jittered.mean() == pytest.approx(0.3, abs=0.04)
    np.testing.assert_array_equal(pixels[jittered], always[jittered])


def test_an_example_looks_the_same_in_any_batch() -> None:
    images = random_images(16)
    indices = np.arange(100, 116)
    epochs = np.arange(16) % 3
    augment = Augment(flip=True)
    together = augment(images, indices, epochs, 5).numpy()
    shuffled = np.random.default_rng(1).permutation(16)[:7]
    apart = augment(images[shuffled], indices[shuffled], epochs[shuffled], 5)
    np.testing.assert_allclose(apart, together[shuffled], atol=1e-3)


@pytest.mark.parametrize("changed", [{"indices": 1}, {"epochs": 1}, {"seed": 1}])
def test_another_example_epoch_or_seed_looks_different(changed: dict) -> None:
    images = np.repeat(random_images(1), 8, axis=0)
    arguments = {"indices": np.arange(8) * 10, "epochs": 4, "seed": 2}
    first = Augment()(images, **arguments).numpy()
    other = Augment()(images, **{k: v + changed.get(k, 0) for k, v in arguments.items()}).numpy()
    everyone = np.concatenate([first, other]).reshape(16, -1)
    distances = np.abs(everyone[:, None] - everyone).mean(-1)
    assert distances[~np.eye(16, dtype=bool)].min() > 1


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graphs_give_the_same_pixels(jit_compile: bool) -> None:
    augment = Augment(flip=True)
    images, indices = random_images(), np.arange(8)

    @tf.function(jit_compile=jit_compile)
    def augmented(images, indices, epochs, seed):
        return augment(images, indices, epochs, seed)

    seed = 2**40 + 1
    tensors = tf.constant(images), tf.constant(indices), tf.constant(6), tf.constant(seed, tf.int64)
    np.testing.assert_allclose(augmented(*tensors), augment(images, indices, 6, seed), atol=1e-2)


def test_shapes_may_be_unknown_when_traced() -> None:
    augment = Augment(flip=True)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, 3], tf.uint8),
            tf.TensorSpec([None], tf.int64),
        ]
    )
    def augmented(images, indices):
        return augment(images, indices, 0, 0)

    for images in (random_images(4, 10, 14), random_images(3, 8, 8)):
        indices = np.arange(len(images))
        np.testing.assert_allclose(
            augmented(images, indices), augment(images, indices, 0, 0), atol=1e-3
        )


def test_float_images_are_taken_as_they_are() -> None:
    images = random_images()
    stored = Augment()(images, np.arange(8), 1, 1)
    for dtype in (np.float32, np.float64):
        np.testing.assert_array_equal(Augment()(images.astype(dtype), np.arange(8), 1, 1), stored)


def test_pixels_are_float32_under_mixed_precision() -> None:
    images = random_images()
    expected = Augment()(images, np.arange(8), 1, 1)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        got = Augment()(images, np.arange(8), 1, 1)
    finally:
        keras.config.set_dtype_policy("float32")
    assert got.dtype == tf.float32
    np.testing.assert_array_equal(got, expected)


def test_keras_serialises_it() -> None:
    augment = Augment(crop_scale=(0.3, 0.9), hue=0.1, flip=True)
    saved = keras.saving.serialize_keras_object(augment)
    again = keras.saving.deserialize_keras_object(saved)
    assert isinstance(again, Augment)
    assert again.get_config() == augment.get_config()
    assert Augment.from_config({**OFF}).get_config()["crop_scale"] is None


@pytest.mark.parametrize(
    "options",
    [
        {"crop_scale": (0.0, 1.0)},
        {"crop_scale": (0.2, 1.5)},
        {"crop_scale": (0.9, 0.2)},
        {"crop_scale": 0.2},
        {"crop_scale": (0.2, 0.5, 1.0)},
        {"crop_scale": (float("nan"), 1.0)},
        {"crop_ratio": (0.0, 1.0)},
        {"crop_ratio": (1.0, float("inf"))},
        {"crop_ratio": None},
        {"brightness": -0.1},
        {"contrast": float("inf")},
        {"saturation": "0.4"},
        {"hue": 0.6},
        {"greyscale": 1.1},
        {"greyscale": True},
        {"flip": "yes"},
        {"jitter_probability": 1.1},
    ],
)
def test_values_out_of_range_are_named(options: dict) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: "):
        Augment(**options)


@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 8, 8, 1)])
def test_images_without_three_channels_are_refused(shape: tuple) -> None:
    with pytest.raises(ValueError, match="must be .*Received shape"):
        Augment()(np.zeros(shape, np.uint8), np.arange(4), 0, 0)


def test_indices_must_match_the_images() -> None:
    with pytest.raises(ValueError, match="`indices` must be .*Received shape"):
        Augment()(random_images(4), np.arange(5), 0, 0)


@pytest.mark.slow
def test_all_of_it_as_users_compile_it() -> None:
    """`make test` compiles quickly rather than well."""
    default = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", __file__]
    done = subprocess.run(command, env=default, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
