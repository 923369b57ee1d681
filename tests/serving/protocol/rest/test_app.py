"""The REST API beyond the vectors: probes, lists, headers, metadata, metrics."""

from __future__ import annotations

import json
import pathlib
import re

import pytest
from tensorflow_serving.config.model_server_config_pb2 import ModelConfigList, ModelServerConfig

from tests.serving.running import Answer, Running, running

PREDICT = "/v1/models/half_plus_two:predict"
BODY = b'{"instances": [1.0]}'


def error(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/json"
    (item,) = json.loads(answer.body).items()
    assert item[0] == "error"
    return item[1]


def test_the_version_that_answered_is_in_a_header(server: Running) -> None:
    assert server.ask("POST", PREDICT, BODY).headers["x-model-version"] == "2"
    path = "/v1/models/kinds/versions/1/metadata"
    assert server.ask("GET", path).headers["x-model-version"] == "1"


def test_probes(server: Running) -> None:
    assert server.ask("GET", "/healthz").status == 200
    assert server.ask("GET", "/readyz").status == 200
    assert server.ask("HEAD", "/readyz").body == b""


def test_a_model_without_versions_makes_the_server_unready(saved_models: pathlib.Path) -> None:
    with running({"empty": saved_models / "empty"}) as one:
        assert one.ask("GET", "/readyz").status == 503
        assert one.ask("GET", "/healthz").status == 200
        (model,) = json.loads(one.ask("GET", "/models").body)["models"]
        assert model["name"] == "empty"
        assert model["versions"][0]["state"] == "END"
        assert model["versions"][0]["status"]["error_code"] == "NOT_FOUND"


def test_a_server_without_models_is_not_ready() -> None:
    with running(ModelServerConfig(model_config_list=ModelConfigList())) as one:
        assert one.ask("GET", "/readyz").status == 503
        assert one.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize("path", ["/versions/%s", "/labels/%s", "/%s", "/rows/%s"])
@pytest.mark.parametrize("part", ["9" * 5000, "%0a", "%00", "%ff", "%ed%a0%80", "..%2f", "-1"])
def test_no_part_of_a_path_is_an_internal_error(server: Running, path: str, part: str) -> None:
    for method, verb in (("GET", ""), ("POST", ":predict"), ("GET", "/metadata")):
        answer = server.ask(method, f"/v1/models/kinds{path % part}{verb}")
        assert answer.status < 500, answer


def test_an_empty_batch_answers_an_empty_batch(server: Running) -> None:
    for name, alias in (("serving_default", "x"), ("image_mean", "image"), ("text", "img_bytes")):
        for inputs in ([], {alias: []}):
            body = json.dumps({"signature_name": name, "inputs": inputs}).encode()
            answer = server.ask("POST", "/v1/models/kinds:predict", body)
            assert answer.status == 200, answer.body
            outputs = json.loads(answer.body)["outputs"]
            assert outputs == [] or set(map(str, outputs.values())) == {"[]"}


def test_models_are_listed_with_versions_and_labels(server: Running) -> None:
    listed = json.loads(server.ask("GET", "/models").body)["models"]
    assert [model["name"] for model in listed] == ["examples", "half_plus_two", "kinds"]
    assert [version["version"] for version in listed[1]["versions"]] == ["2"]
    assert listed[1]["labels"] == {}
    assert listed[1]["problem"] is None


def test_metadata_is_the_signatures(server: Running) -> None:
    shown = json.loads(server.ask("GET", "/v1/models/kinds/metadata").body)
    assert shown["model_spec"] == {"name": "kinds", "signature_name": "", "version": "1"}
    signatures = shown["metadata"]["signature_def"]["signature_def"]
    assert "__saved_model_init_op" in signatures
    assert signatures["serving_default"]["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {
            "dim": [{"size": "-1", "name": ""}, {"size": "4", "name": ""}],
            "unknown_rank": False,
        },
        "name": signatures["serving_default"]["inputs"]["x"]["name"],
    }
    assert signatures["two"]["method_name"] == "tensorflow/serving/predict"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/half_plus_two:predict?a=b"),
        ("POST", "/v1/models/half_plus_two/versions/1/labels/stable:predict"),
        ("POST", "/v1/"),
        ("GET", "/v1/models/half_plus_two:predict"),
        ("GET", "/v1/models/half_plus_two/versions/one"),
        ("DELETE", "/v1/models/half_plus_two"),
        ("PATCH", "/v1/models"),
    ],
)
def test_malformed_requests(server: Running, method: str, path: str) -> None:
    answer = server.ask(method, path, BODY if method == "POST" else None)
    assert answer.status == 400
    assert error(answer) == f"Malformed request: {method} {path}"


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/models", "/metrics", "/models/", "//v1/models"])
def test_other_paths_are_not_found(server: Running, path: str) -> None:
    answer = server.ask("GET", path)
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("name", ["..%2F..%2Fetc", "%00", "%ff", "a%20b", "%2e%2e", "half%2Bplus"])
def test_names_are_names_and_no_paths(server: Running, name: str) -> None:
    assert server.ask("POST", f"/v1/models/{name}:predict", BODY).status == 404
    assert server.ask("GET", f"/v1/models/{name}").status == 404


def test_names_are_percent_decoded(server: Running) -> None:
    assert server.ask("POST", "/v1/models/half%5Fplus_two:predict", BODY).status == 200


def test_shapes_that_are_not_the_signature_s(server: Running) -> None:
    answer = server.ask("POST", "/v1/models/kinds:predict", b'{"instances": [[1, 2, 3]]}')
    assert answer.status == 400
    assert error(answer) == (
        "Input x of signature serving_default takes a tensor of shape [?,4]. Received: [1,3]"
    )


def test_large_bodies_are_answered_too(server: Running) -> None:
    rows = [[float(i), 1, 0, 0] for i in range(16_384)]
    body = json.dumps({"instances": rows}).encode()
    answer = server.ask("POST", "/v1/models/kinds:predict", body + b" " * (1 << 19))
    assert answer.status == 200
    predictions = json.loads(answer.body)["predictions"]
    assert len(predictions) == len(rows)
    assert predictions[-1][0] == pytest.approx(1.0)


def test_too_many_rows(server: Running) -> None:
    body = json.dumps({"inputs": [1.0] * 16_385}).encode()
    assert "at most 16384 rows" in error(server.ask("POST", PREDICT, body))


def test_metrics_count_requests_of_models_that_exist(server: Running) -> None:
    for path in (PREDICT, "/v1/models/nobody:predict"):
        server.ask("POST", path, BODY)
    server.ask("POST", PREDICT, b"{")
    page = server.ask("GET", "/monitoring/prometheus/metrics")
    assert page.headers["content-type"] == "text/plain"
    text = page.body.decode()
    assert "# TYPE :tensorflow:serving:request_count counter" in text
    for line in (
        r':tensorflow:serving:request_count\{model_name="half_plus_two",status="OK"\} \d',
        r':tensorflow:serving:request_count\{model_name="half_plus_two",status="INVALID_ARG',
        r':tensorflow:serving:request_latency_bucket\{API="predict",entrypoint="REST",le="10.0",',
        r":tensorflow:serving:request_latency_sum\{",
        r":tensorflow:serving:runtime_latency_count\{",
        r":tensorflow:serving:batching:processed_batch_size_count\{",
    ):
        assert re.search(line, text), line
    assert "nobody" not in text
    assert "_created" not in text


def test_without_monitoring_there_is_no_metrics_page(saved_models: pathlib.Path) -> None:
    with running({"m": saved_models / "half_plus_two"}, cors=True) as one:
        assert one.ask("GET", "/monitoring/prometheus/metrics").status == 404
        answer = one.ask("POST", "/v1/models/m:predict", BODY)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-allow-methods"] == "POST, GET"
        assert answer.headers["access-control-allow-headers"] == "Content-Type"
        preflight = one.ask("OPTIONS", "/v1/models/m:predict", headers={"Origin": "http://a"})
        assert (preflight.status, preflight.body) == (200, b"")
        assert preflight.headers["access-control-allow-origin"] == "*"
        assert one.ask("OPTIONS", "/v1/models/m:predict").status == 400


def test_examples_over_rest(server: Running) -> None:
    body = b'{"examples": [{"x": 0.25}]}'
    answer = server.ask("POST", "/v1/models/examples:classify", body)
    assert json.loads(answer.body) == {"results": [[["pos", 0.25], ["neg", 0.75]]]}
    answer = server.ask("POST", "/v1/models/examples:regress", body)
    assert answer.status == 400
    assert error(answer) == "Expected one output Tensor."
    answer = server.ask("POST", "/v1/models/kinds:classify", body)
    assert "No classification inputs found" in error(answer)


def test_rows_of_two_inputs_must_be_as_many(server: Running) -> None:
    body = b'{"signature_name": "two", "inputs": {"a": [[1, 2, 3]], "b": [1, 2]}}'
    answer = server.ask("POST", "/v1/models/kinds:predict", body)
    assert answer.status == 400
    assert error(answer) == "Batching Run() input tensors must have equal 0th-dimension size"
