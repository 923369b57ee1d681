"""Which models are served: ModelServerConfig, from models.config, from NAME=PATH or over gRPC."""

from __future__ import annotations

import pathlib
from collections.abc import Collection, Iterable

import grpc
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2 as config_pb2

from serving.errors import ServingError

PLATFORM = "tensorflow"


def read(path: pathlib.Path) -> config_pb2.ModelServerConfig:
    """The configuration in a text file such as TensorFlow Serving's --model_config_file.

    Raises OSError if it cannot be read and ValueError if it is no ModelServerConfig.
    """
    try:
        return text_format.Parse(path.read_text(), config_pb2.ModelServerConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no model_config_list in text form: {error}") from error


def from_pairs(pairs: Iterable[str]) -> config_pb2.ModelServerConfig:
    """The configuration of models given as NAME=PATH; relative paths are made absolute.

    Raises ValueError for a text that is no such pair.
    """
    config = config_pb2.ModelServerConfig()
    config.model_config_list.SetInParent()
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise ValueError(
                f"A model is given as NAME=PATH, such as svhn=export/svhn. Received: {pair!r}"
            )
        config.model_config_list.config.add(
            name=name, base_path=str(pathlib.Path(path).absolute()), model_platform=PLATFORM
        )
    return config


def validate(config: config_pb2.ModelServerConfig, served: Collection[str] = ()) -> None:
    """Refuses what TensorFlow Serving refuses, in its words (its model_servers/server_core.cc).

    `served` names the models that the configuration is to replace.

    Raises ServingError: INVALID_ARGUMENT, or FAILED_PRECONDITION for a configuration that is no
    list of models.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "Cannot transition to requested config. It is only legal to transition from one "
            "ModelConfigList to another.",
        )
    seen = set()
    for model in config.model_config_list.config:
        if not model.name:
            raise _invalid("Every model needs a name. Received: a model without one")
        if model.name in seen:
            raise _invalid(f"Illegal to list model {model.name} multiple times in config list")
        seen.add(model.name)
    for model in config.model_config_list.config:
        _validate_path(model)
    for model in config.model_config_list.config:
        _validate_platform(model, model.name in served)


def _validate_path(model: config_pb2.ModelConfig) -> None:
    if "://" in model.base_path:
        raise _invalid(
            f"Model {model.name} must lie in a folder of this machine. "
            f"Received: base_path {model.base_path}"
        )
    if not pathlib.PurePosixPath(model.base_path).is_absolute() or "\0" in model.base_path:
        raise _invalid(
            f"Expected model {model.name} to have an absolute path or URI; "
            f"got base_path()={model.base_path}"
        )


def _validate_platform(model: config_pb2.ModelConfig, served: bool) -> None:
    name = f", model name is {model.name}"
    if model.model_type:
        if model.model_platform:
            raise _invalid(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                f"ModelServerConfig::model_platform{name}"
            )
        if model.model_type != config_pb2.ModelType.TENSORFLOW:
            raise _invalid(
                f"ModelServerConfig::model_type choice {model.model_type} not supported{name}"
            )
    elif not model.model_platform:
        raise _invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform{name}"
        )
    elif model.model_platform != PLATFORM:
        if served:
            raise _invalid(
                f"Illegal to change a model's platform. For model {model.name} platform was "
                f"{PLATFORM} and new platform requested is {model.model_platform}"
            )
        raise _invalid(f"Model {model.name} requests unsupported platform {model.model_platform}")


def _invalid(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)
