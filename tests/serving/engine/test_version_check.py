"""Whether a version can serve, found out before it does."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable

import grpc
import keras
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from serving.engine import version_check, warm_up
from serving.engine.servable import Servable
from serving.errors import ServingError


@pytest.fixture
def version(saved_models: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A version with a variable, to be damaged."""
    return shutil.copytree(saved_models / "half_plus_two/1", tmp_path / "1")


def _refusal(path: pathlib.Path) -> ServingError:
    with pytest.raises(ServingError) as caught:
        version_check.load_checked(path, 0, 0)
    return caught.value


@pytest.mark.parametrize("name", ["half_plus_two", "kinds", "examples"])
def test_sound_models_pass(saved_models: pathlib.Path, name: str):
    servable = version_check.load_checked(saved_models / name / "1", 0, 0)
    assert servable.signatures
    servable.close()


def test_a_model_that_keras_exported_passes(tmp_path: pathlib.Path):
    inputs = keras.Input((4,), name="x")
    outputs = keras.layers.Dense(2)(keras.layers.BatchNormalization()(inputs))
    model = keras.Model(inputs, outputs)
    model.export(str(tmp_path / "exported"), verbose=False)

    class Wrapped(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
        def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": self.model(x)}

    wrapped = Wrapped()
    wrapped.variables_of_model = [variable.value for variable in model.variables]
    tf.saved_model.save(wrapped, str(tmp_path / "wrapped"), signatures=wrapped.__call__)
    for name in ("exported", "wrapped"):
        version_check.load_checked(tmp_path / name, 0, 0).close()


def test_missing_variables(version: pathlib.Path):
    shutil.rmtree(version / "variables")
    assert "is not a valid checkpoint" in _refusal(version).message


def test_variables_that_nothing_restores(version: pathlib.Path):
    _edit(version, lambda model: model.meta_graphs[0].ClearField("saver_def"))
    shutil.rmtree(version / "variables")
    error = _refusal(version)
    assert error.code == grpc.StatusCode.FAILED_PRECONDITION
    assert "have no values" in error.message


def _truncate(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def _flip(path: pathlib.Path) -> None:
    data = bytearray(path.read_bytes())
    data[1] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("saved_model.pb", _truncate),
        ("saved_model.pb", lambda path: path.write_bytes(b"")),
        ("variables/variables.index", pathlib.Path.unlink),
        ("variables/variables.index", _truncate),
        ("variables/variables.data-00000-of-00001", pathlib.Path.unlink),
        ("variables/variables.data-00000-of-00001", _truncate),
        ("variables/variables.data-00000-of-00001", _flip),
    ],
)
def test_damaged_files(version: pathlib.Path, file: str, damage: Callable[[pathlib.Path], object]):
    damage(version / file)
    assert len(_refusal(version).message) > 10


def test_a_damaged_warm_up_file(version: pathlib.Path):
    path = version / warm_up.FILE
    path.parent.mkdir()
    path.write_bytes(b"no TFRecord")
    assert "warm-up file" in _refusal(version).message


def _edit(version: pathlib.Path, edit: Callable[[saved_model_pb2.SavedModel], object]) -> None:
    path = version / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    edit(model)
    path.write_bytes(model.SerializeToString())


def test_an_op_that_is_not_known(version: pathlib.Path):
    # Not one of ScaNN's: another test of this process may have imported those.
    def rename(model: saved_model_pb2.SavedModel) -> None:
        for function in model.meta_graphs[0].graph_def.library.function:
            for node in function.node_def:
                if node.op in ("Mul", "mul"):
                    node.op = "Unheard>Of"

    _edit(version, rename)
    assert "Op type not registered 'Unheard>Of'" in _refusal(version).message


def test_no_signature(version: pathlib.Path):
    _edit(version, lambda model: model.meta_graphs[0].signature_def.clear())
    assert "has no signature" in _refusal(version).message


def test_another_tag(version: pathlib.Path):
    def retag(model: saved_model_pb2.SavedModel) -> None:
        model.meta_graphs[0].meta_info_def.tags[:] = ["train"]

    _edit(version, retag)
    assert _refusal(version).code == grpc.StatusCode.NOT_FOUND


def test_a_signature_that_cannot_run(version: pathlib.Path):
    def rename(model: saved_model_pb2.SavedModel) -> None:
        signature = model.meta_graphs[0].signature_def["serving_default"]
        signature.outputs["y"].name = "nowhere:0"

    _edit(version, rename)
    assert "names a tensor that its graph lacks: nowhere:0" in _refusal(version).message


def test_a_folder_that_changes_meanwhile(version: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    run = Servable.run

    def run_and_write(*arguments: object) -> dict:
        (version / "assets.extra").mkdir(exist_ok=True)
        (version / "assets.extra/late.json").write_text("{}")
        return run(*arguments)

    monkeypatch.setattr(Servable, "run", run_and_write)
    assert _refusal(version).code == grpc.StatusCode.ABORTED


def test_inputs_that_are_too_large_to_make_up_are_left_out(tmp_path: pathlib.Path):
    class Huge(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 2**20, 2**10], tf.float32, name="x")])
        def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": tf.reduce_sum(x, axis=[1, 2])}

    huge = Huge()
    tf.saved_model.save(huge, str(tmp_path / "1"), signatures=huge.__call__)
    version_check.load_checked(tmp_path / "1", 0, 0).close()
