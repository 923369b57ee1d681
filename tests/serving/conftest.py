"""Small SavedModels and exports to serve, made once for all tests of serving."""

from __future__ import annotations

import io
import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from and_tf.config import RunConfig
from and_tf.exporting.description import describe
from and_tf.exporting.row_bank import RowBank
from and_tf.exporting.rows import Rows
from and_tf.exporting.signatures import Exported


def _spec(dtype: tf.DType, *shape: int | None) -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype)


def save(
    module: tf.Module,
    path: pathlib.Path,
    signatures: dict[str, tf.types.experimental.GenericFunction],
) -> None:
    """Writes a SavedModel with these signatures."""
    tf.saved_model.save(module, str(path), signatures=signatures)


class Scale(tf.Module):
    """y = factor x + 2, for x of any rank; the factor is a variable."""

    def __init__(self, factor: float = 0.5) -> None:
        super().__init__()
        self.factor = tf.Variable(factor, name="factor")

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": self.factor * x + 2.0}


class Kinds(tf.Module):
    """A signature for each kind of tensor and of trouble."""

    @tf.function
    def unit(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": tf.math.l2_normalize(x, axis=-1)}

    @tf.function
    def two(self, a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "s": tf.reduce_sum(a, axis=1),
            "p": a * tf.cast(b, tf.float32)[:, tf.newaxis],
            "c": b,
        }

    @tf.function
    def text(self, img_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "length": tf.strings.length(img_bytes),
            "echo": img_bytes,
            "echo_bytes": img_bytes,
        }

    @tf.function
    def echo(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.identity(x)}

    @tf.function
    def to_half(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"half": tf.cast(x, tf.float16), "brain": tf.cast(x, tf.bfloat16)}

    @tf.function
    def total(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"total": tf.reduce_sum(x)}

    @tf.function
    def below_ten(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        tf.debugging.assert_less(x, 10.0, message="too big")
        return {"y": tf.identity(x)}

    @tf.function
    def image_mean(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        def mean(data: tf.Tensor) -> tf.Tensor:
            pixels = tf.io.decode_image(data, channels=3, expand_animations=False)
            return tf.reduce_mean(tf.cast(pixels, tf.float32), axis=[0, 1])

        return {"mean": tf.map_fn(mean, image, fn_output_signature=_spec(tf.float32, 3))}


class Examples(tf.Module):
    """Classification and regression of serialized tf.Examples with a float `x`."""

    @staticmethod
    def _parse(inputs: tf.Tensor) -> tf.Tensor:
        return tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]

    @tf.function
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        x = self._parse(inputs)
        classes = tf.repeat([["pos", "neg"]], tf.size(x), axis=0)
        return {"scores": tf.stack([x, 1.0 - x], axis=1), "classes": classes}

    @tf.function
    def regress(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": 0.5 * self._parse(inputs)[:, tf.newaxis] + 2.0}


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder of models: `half_plus_two` (versions 1 and 2), `kinds`, `examples`, `empty`.

    It is shared by all tests: copy what you mean to change.
    """
    root = tmp_path_factory.mktemp("saved_models")
    half_plus_two = Scale()
    for version in (1, 2):
        save(
            half_plus_two,
            root / f"half_plus_two/{version}",
            {"serving_default": half_plus_two.__call__},
        )
    kinds = Kinds()
    image = tf.TensorSpec([None], tf.string, name="image")
    concrete = {
        "serving_default": kinds.unit.get_concrete_function(_spec(tf.float32, None, 4)),
        "two": kinds.two.get_concrete_function(_spec(tf.float32, None, 3), _spec(tf.int32, None)),
        "text": kinds.text.get_concrete_function(_spec(tf.string, None)),
        "half": kinds.to_half.get_concrete_function(_spec(tf.float32, None)),
        "total": kinds.total.get_concrete_function(_spec(tf.float32, None)),
        "below_ten": kinds.below_ten.get_concrete_function(_spec(tf.float32, None)),
        "image_mean": kinds.image_mean.get_concrete_function(image),
    }
    for dtype in (tf.uint8, tf.int64, tf.bool, tf.float16, tf.float64):
        concrete[dtype.name] = kinds.echo.get_concrete_function(_spec(dtype, None))
    save(kinds, root / "kinds/1", concrete)
    examples = Examples()
    serialized = tf.TensorSpec([None], tf.string, name="inputs")
    save(
        examples,
        root / "examples/1",
        {
            "serving_default": examples.classify.get_concrete_function(serialized),
            "classify": examples.classify.get_concrete_function(serialized),
            "regress": examples.regress.get_concrete_function(serialized),
        },
    )
    (root / "empty/1").mkdir(parents=True)
    return root


EXPORT_SIDE = 8
EXPORT_COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30)}


def coloured(colour: tuple[int, int, int], number: int) -> np.ndarray:
    """The image of that number in about this colour, uint8 [8, 8, 3]; no two are equal."""
    noise = np.random.default_rng(number).integers(-25, 26, (EXPORT_SIDE, EXPORT_SIDE, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def save_export(path: pathlib.Path, seed: int) -> None:
    """Exports the mean colours turned by random weights, with six labelled rows of two classes."""
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((EXPORT_SIDE, EXPORT_SIDE, 3))
    colours = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 100, -1)(pixels))
    turned = keras.layers.Dense(4, kernel_initializer="orthogonal", use_bias=False)(colours)
    encoder = keras.Model(pixels, keras.layers.UnitNormalization()(turned), name=f"seed{seed}")
    images = [coloured(colour, n) for colour in EXPORT_COLOURS.values() for n in range(3)]
    rows = Rows(
        encoder.predict(np.stack(images), verbose=0),
        np.repeat([0, 1], 3).astype(np.int32),
        list(EXPORT_COLOURS),
        [f"{name}/{n}.png" for name in EXPORT_COLOURS for n in range(3)],
    )
    exported = Exported(encoder, None, RowBank(rows, 5, 0.1), True, neighbours=4, top=3)
    exported.save(str(path))
    facts = describe(RunConfig(), encoder, exported, rows, path)
    (path / "assets.extra").mkdir()
    (path / "assets.extra" / "and_tf.json").write_text(json.dumps(facts), encoding="utf-8")


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with two versions, `colours/1` and `colours/2`, whose encoders differ.

    It is shared by all tests: copy what you mean to change.
    """
    root = tmp_path_factory.mktemp("exports")
    for version in (1, 2):
        save_export(root / "colours" / str(version), version)
    return root


@pytest.fixture(scope="session")
def coloured_png():
    """Makes the PNG of the image of that number in a colour, 8 x 8."""

    def make(colour: tuple[int, int, int], number: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(coloured(colour, number)).save(buffer, "PNG")
        return buffer.getvalue()

    return make
