"""Small SavedModels and exports to serve, made once for all tests of serving."""

from __future__ import annotations

import gc
import pathlib
from collections.abc import Callable, Iterator

import pytest
import tensorflow as tf

from tests.conftest import made_once
from tests.serving import exported
from tests.serving.running import Running, running


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


@pytest.fixture(scope="session", autouse=True)
def _frozen_modules() -> None:
    """Closing a model collects garbage; what was imported need not be looked at each time."""
    gc.collect()
    gc.freeze()


class Slow(tf.Module):
    """Counts to n, one by one."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="n")])
    def count(self, n: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"n": tf.while_loop(lambda i: tf.reduce_any(i < n), lambda i: [i + 1], [0 * n])[0]}


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


@pytest.fixture(scope="session")
def server(saved_models: pathlib.Path) -> Iterator[Running]:
    """A server of `half_plus_two`, `kinds` and `examples`, with metrics."""
    names = ("half_plus_two", "kinds", "examples")
    with running(
        {name: saved_models / name for name in names}, metrics_path="/monitoring/prometheus/metrics"
    ) as one:
        yield one


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A model whose answer takes 5 us for each of the number that it is asked for."""
    path = tmp_path_factory.mktemp("slow")
    module = Slow()
    tf.saved_model.save(module, str(path / "1"), signatures={"serving_default": module.count})
    return path


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with two versions, `colours/1` and `colours/2`, whose encoders differ.

    It is shared by all tests: copy what you mean to change.
    """

    def make(folder: pathlib.Path) -> None:
        for version in (1, 2):
            exported.save_export(folder / "colours" / str(version), version)

    return made_once(tmp_path_factory, "exports", make)


@pytest.fixture(scope="session")
def coloured_png() -> Callable[[tuple[int, int, int], int], bytes]:
    """Makes the PNG of the image of that number in a colour, 8 x 8."""
    return exported.coloured_png


@pytest.fixture(scope="session")
def colours_server(
    exports: pathlib.Path, saved_models: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A server that can be taught, with its page: `colours`, and `half_plus_two`, which cannot.

    It is shared: leave no rows behind.
    """
    folders = {"colours": exports / "colours", "half_plus_two": saved_models / "half_plus_two"}
    rows_dir = tmp_path_factory.mktemp("rows")
    with running(folders, rows_dir=rows_dir, page=True) as server:
        yield server
