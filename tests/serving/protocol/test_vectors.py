"""Requests to TensorFlow Serving 2.20 and its answers: ours are the same, or stricter, and errors name the same.

`--vectors FILE --models FOLDER` run any such file; see ../shared/tfserving/README.md.
"""

from __future__ import annotations

import gzip
import json
import math
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import json_format, text_format
from google.protobuf.message import Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tests.serving.running import Answer, Running, running

SHARED = pathlib.Path(__file__).resolve().parents[4] / "shared"
MESSAGES = {
    "Predict": (predict_pb2.PredictRequest, predict_pb2.PredictResponse),
    "Classify": (
        classification_pb2.ClassificationRequest,
        classification_pb2.ClassificationResponse,
    ),
    "Regress": (regression_pb2.RegressionRequest, regression_pb2.RegressionResponse),
    "MultiInference": (inference_pb2.MultiInferenceRequest, inference_pb2.MultiInferenceResponse),
    "GetModelMetadata": (
        get_model_metadata_pb2.GetModelMetadataRequest,
        get_model_metadata_pb2.GetModelMetadataResponse,
    ),
    "GetModelStatus": (
        get_model_status_pb2.GetModelStatusRequest,
        get_model_status_pb2.GetModelStatusResponse,
    ),
    "HandleReloadConfigRequest": (
        model_management_pb2.ReloadConfigRequest,
        model_management_pb2.ReloadConfigResponse,
    ),
}
# Where lines that are told in words have tests of their own.
SCENARIOS = {
    "life_new_version": "test_models.py",
    "life_empty_dir": "test_models.py",
    "life_warmup_not_tfrecord": "test_warm_up.py",
    "life_batching_unequal": "test_rest.py",
    "life_sigterm": "test_server.py",
    "life_cors": "test_rest.py",
    "life_metrics": "test_rest.py",
    "life_scann_op": "test_version_check.py",
}
# Lines whose note lets a server be stricter, or better: there, an error that says why will do.
LENIENT = re.compile(r"may differ|acceptable|better|a good server", re.IGNORECASE)

NAMED = re.compile(
    r"'(\w+)'|\"(\w+)\"|(?:key|element|input|alias|label|name|signature|feature|type): (\w+)"
    r"|\b(?:model|version|item) (\w+)|\((\w+)"
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    path = metafunc.config.getoption("--vectors")
    if "vector" not in metafunc.fixturenames:
        return
    if not path.is_file():
        absent = pytest.mark.skip(reason=f"needs the vectors of {path}")
        metafunc.parametrize("vector", [pytest.param({}, marks=absent)])
        return
    vectors = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    metafunc.parametrize("vector", vectors, ids=[vector["name"] for vector in vectors])


def beside(config: pytest.Config, name: str) -> pathlib.Path:
    """A file that belongs to the vectors: next to them, or else where they usually are."""
    own = config.getoption("--vectors").with_name(name)
    return own if own.is_file() else SHARED / "tfserving" / name


@pytest.fixture(scope="module")
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """The vectors' models."""
    given = request.config.getoption("--models")
    if given:
        return given.absolute()
    path = tmp_path_factory.mktemp("vector_models")
    script = beside(request.config, "make_models.py")
    subprocess.run([sys.executable, script, path], check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def config(request: pytest.FixtureRequest, folder: pathlib.Path) -> ModelServerConfig:
    text = beside(request.config, "models.config").read_text()
    return text_format.Parse(text.replace("${MODELS}", str(folder)), ModelServerConfig())


@pytest.fixture(scope="module")
def original(config: ModelServerConfig) -> Iterator[Running]:
    with running(config, metrics_path="/monitoring/prometheus/metrics") as one:
        yield one


@pytest.fixture(scope="module")
def reconfigured(config: ModelServerConfig) -> Iterator[Running]:
    """The server whose models change from line to line."""
    with running(config) as one:
        yield one


def test_vector(vector: dict[str, Any], request: pytest.FixtureRequest) -> None:
    if vector["method"] == "scenario":
        pytest.skip(f"told in words: see {SCENARIOS.get(vector['name'], 'the other tests')}")
    changing = "Reload" in vector["path"] or "_after_" in vector["name"]
    one: Running = request.getfixturevalue("reconfigured" if changing else "original")
    if vector["method"] == "gRPC":
        folder = request.getfixturevalue("folder")
        if "_after_reload_hpt_v2_gone" in vector["name"]:
            serve_only(one, folder, "hpt", 1)
        check_grpc(vector, one, folder)
    else:
        body = request_body(vector["request"])
        headers = vector.get("request_headers", {"Content-Type": "application/json"})
        answer = one.ask(vector["method"], vector["path"], body, headers)
        try:
            check_rest(vector, answer)
        except AssertionError:
            # Stricter than the original, where its line allows that.
            if not LENIENT.search(vector.get("note", "")) or answer.status // 100 != 4:
                raise
            assert list(json.loads(answer.body)) == ["error"]


def request_body(text: str | None) -> bytes | None:
    """The bytes that a line of the file stands for."""
    if text is None:
        return None
    if match := re.fullmatch(r"gzip\((.*)\)", text, re.DOTALL):
        return gzip.compress(match[1].encode())
    if match := re.match(r'bytes "(.*?)"', text):
        return match[1].encode()
    if text == "raw deflate-labelled JSON":
        return b'{"instances":[1.0]}'
    if text.endswith("...(see note)"):
        head = text.removesuffix("...(see note)") + "[" * 50_000
        return (head + "]" * (head.count("[") - head.count("]")) + "}").encode()
    return text.encode()


def check_rest(vector: dict[str, Any], answer: Answer) -> None:
    expected = vector["expect_body_or_pattern"]
    assert answer.status == vector["expect_status"], answer.body
    if vector["method"] != "HEAD" and vector["match"] != "status":
        assert answer.headers["content-type"].startswith(vector["content_type"])
    if vector["match"] == "json" and expected:
        received = json.loads(answer.body)
        if answer.status != 200:
            assert list(received) == ["error"]
            assert names_the_same(json.loads(expected)["error"], received["error"])
            return
        assert equal(received, json.loads(expected)), received
    elif vector["match"] == "keys":
        received = json.loads(answer.body)
        assert set(expected["top"]) <= received.keys()
        assert set(expected["keys"]) <= keys(received)
    elif vector["match"] == "text":
        assert answer.body.decode() == expected


def check_grpc(vector: dict[str, Any], one: Running, folder: pathlib.Path) -> None:
    request_type, response_type = MESSAGES[vector["path"].rpartition("/")[2]]
    text = json.dumps(vector["request"]).replace("${MODELS}", str(folder))
    expected = vector["expect_body_or_pattern"]
    lenient = LENIENT.search(vector.get("note", ""))
    with one.channel() as channel:
        ask = channel.unary_unary(
            vector["path"],
            request_serializer=request_type.SerializeToString,
            response_deserializer=response_type.FromString,
        )
        try:
            response = ask(json_format.Parse(text, request_type()), timeout=60)
        except grpc.RpcError as error:
            if vector["expect_status"] == "OK" and lenient:
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                return
            assert error.code().name == vector["expect_status"], error.details()
            assert names_the_same(expected, error.details() or "")
            return
    if vector["expect_status"] != "OK":
        assert lenient, response
        return
    if "metadata_keys" in expected:
        assert sorted(response.metadata) == expected.pop("metadata_keys")
        response.ClearField("metadata")
    assert equal(as_json(response), as_json(json_format.ParseDict(expected, response_type())))


def names_the_same(expected: str, received: str) -> bool:
    """Whether an error names the keys, inputs, models and rows that it should; its words are free."""
    found = NAMED.findall(expected)
    return all(name in received for names in found for name in names if name)


def serve_only(one: Running, folder: pathlib.Path, name: str, version: int) -> None:
    config = ModelServerConfig()
    model = config.model_config_list.config.add(
        name=name, base_path=str(folder / name), model_platform="tensorflow"
    )
    model.model_version_policy.specific.versions.append(version)
    one.call(one.server.models.reload(config))


def as_json(message: Message) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def equal(left: Any, right: Any) -> bool:
    """JSON that is equal, floats as float32."""
    if isinstance(left, float) and isinstance(right, float):
        with np.errstate(over="ignore"):
            return np.float32(left) == np.float32(right) or (math.isnan(left) and math.isnan(right))
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return left == right


def keys(value: Any) -> set[str]:
    """All keys of all objects in `value`."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    return set(value).union(*map(keys, value.values())) if isinstance(value, dict) else set()
