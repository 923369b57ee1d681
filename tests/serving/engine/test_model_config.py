"""Which models are served."""

from __future__ import annotations

import pathlib

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2 as config_pb2

from serving.engine import model_config
from serving.errors import ServingError


def _parsed(text: str) -> config_pb2.ModelServerConfig:
    return text_format.Parse(text, config_pb2.ModelServerConfig())


def test_reads_a_file_as_tensorflow_serving_takes_it(tmp_path: pathlib.Path):
    path = tmp_path / "models.config"
    path.write_text(
        """model_config_list {
          config { name: 'svhn' base_path: '/models/svhn' model_platform: 'tensorflow'
            model_version_policy { specific { versions: 1 versions: 3 } }
            version_labels { key: 'stable' value: 1 } } }"""
    )
    (model,) = model_config.read(path).model_config_list.config
    assert model.name == "svhn"
    assert list(model.model_version_policy.specific.versions) == [1, 3]
    assert dict(model.version_labels) == {"stable": 1}
    model_config.validate(model_config.read(path))


@pytest.mark.parametrize("data", [b"model_config_list { confg {} }", b"\xff\xfe"])
def test_a_file_that_is_no_config_is_named(tmp_path: pathlib.Path, data: bytes):
    path = tmp_path / "models.config"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"models\.config is no model_config_list"):
        model_config.read(path)


def test_pairs_become_a_config(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    config = model_config.from_pairs(["a=export/a", "b c=/b=c"])
    models = [(model.name, model.base_path) for model in config.model_config_list.config]
    assert models == [("a", str(tmp_path / "export/a")), ("b c", "/b=c")]
    model_config.validate(config)


@pytest.mark.parametrize("pair", ["svhn", "=path", "name=", ""])
def test_what_is_no_pair_is_refused(pair: str):
    with pytest.raises(ValueError, match="NAME=PATH"):
        model_config.from_pairs([pair])


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (
            (
                "config { name: 'm' base_path: '/m' model_platform: 'tensorflow' } "
                "config { name: 'm' base_path: '/m' model_platform: 'tensorflow' }"
            ),
            "Illegal to list model m multiple times in config list",
        ),
        (
            "config { name: 'm' base_path: 'models/m' model_platform: 'tensorflow' }",
            "Expected model m to have an absolute path or URI; got base_path()=models/m",
        ),
        (
            "config { name: 'm' base_path: '/\\0' model_platform: 'tensorflow' }",
            "Expected model m to have an absolute path or URI; got base_path()=/\0",
        ),
        (
            "config { name: 'm' base_path: '/m' }",
            (
                "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                "ModelServerConfig::model_platform, model name is m"
            ),
        ),
        (
            "config { name: 'm' base_path: '/m' model_type: TENSORFLOW model_platform: 'x' }",
            (
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                "ModelServerConfig::model_platform, model name is m"
            ),
        ),
        ("config { name: 'm' base_path: '/m' model_type: OTHER }", "choice 2 not supported"),
        (
            "config { name: 'm' base_path: '/m' model_platform: 'torch' }",
            "Model m requests unsupported platform torch",
        ),
        ("config { name: 'm' base_path: 'gs://b/m' model_platform: 'tensorflow' }", "gs://b/m"),
        ("config { base_path: '/m' model_platform: 'tensorflow' }", "Every model needs a name"),
    ],
)
def test_validation_speaks_as_tensorflow_serving(models: str, message: str):
    with pytest.raises(ServingError) as caught:
        model_config.validate(_parsed(f"model_config_list {{ {models} }}"))
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert message in caught.value.message


def test_a_model_keeps_its_platform():
    config = _parsed(
        "model_config_list { config { name: 'm' base_path: '/m' model_platform: 'torch' } }"
    )
    with pytest.raises(ServingError) as caught:
        model_config.validate(config, served={"m"})
    assert caught.value.message == (
        "Illegal to change a model's platform. For model m platform was tensorflow and new "
        "platform requested is torch"
    )


def test_the_deprecated_type_is_enough():
    model_config.validate(
        _parsed("model_config_list { config { name: 'm' base_path: '/m' model_type: TENSORFLOW } }")
    )


def test_a_custom_config_is_refused():
    with pytest.raises(ServingError) as caught:
        model_config.validate(_parsed("custom_model_config {}"))
    assert caught.value.code == grpc.StatusCode.FAILED_PRECONDITION
