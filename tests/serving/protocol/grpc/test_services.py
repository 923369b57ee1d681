"""The gRPC services beyond the vectors."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.errors import ServingError
from serving.protocol.grpc import tensors
from tests.serving.running import Running, running


@pytest.fixture(scope="module")
def channel(server: Running) -> Iterator[grpc.Channel]:
    with server.channel() as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel) -> prediction_service_pb2_grpc.PredictionServiceStub:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def predict_request(
    name: str, signature: str = "", **inputs: np.ndarray | TensorProto
) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for alias, value in inputs.items():
        proto = value if isinstance(value, TensorProto) else tf.make_tensor_proto(value)
        request.inputs[alias].CopyFrom(proto)
    return request


def failure(call: object, request: object) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as error:
        call(request, timeout=60)
    return error.value.code().name, error.value.details()


def test_output_filter(stub: prediction_service_pb2_grpc.PredictionServiceStub) -> None:
    request = predict_request("kinds", "two", a=np.ones((2, 3), "f4"), b=np.int32([1, 2]))
    request.output_filter.extend(["c", "s"])
    response = stub.Predict(request, timeout=60)
    assert sorted(response.outputs) == ["c", "s"]
    assert response.outputs["c"].int_val == [1, 2]
    assert response.model_spec.version.value == 1
    request.output_filter.append("s")
    assert failure(stub.Predict, request)[1] == "duplicate output tensor alias: s"


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float16", "float64"])
def test_dtypes(stub: prediction_service_pb2_grpc.PredictionServiceStub, dtype: str) -> None:
    values = np.array([0, 1, 1], dtype)
    response = stub.Predict(predict_request("kinds", dtype, x=values), timeout=60)
    np.testing.assert_array_equal(tf.make_ndarray(response.outputs["y"]), values)


def test_outputs_of_other_kinds(stub: prediction_service_pb2_grpc.PredictionServiceStub) -> None:
    outputs = stub.Predict(
        predict_request("kinds", "half", x=np.float32([1.5])), timeout=60
    ).outputs
    assert tf.make_ndarray(outputs["half"]).dtype == np.float16
    assert outputs["brain"].dtype == tf.bfloat16.as_datatype_enum
    text = predict_request("kinds", "text", img_bytes=np.array([b"\xff", b"ab"], object))
    assert stub.Predict(text, timeout=60).outputs["echo"].string_val == [b"\xff", b"ab"]
    total = stub.Predict(predict_request("kinds", "total", x=np.float32([1, 2])), timeout=60)
    assert total.outputs["total"].float_val == [3.0]
    assert not total.outputs["total"].tensor_shape.dim


@pytest.mark.parametrize(
    ("dtype", "field", "values"),
    [
        ("float16", "half_val", [0x3C00, 0]),
        ("bfloat16", "half_val", [0x3F80, 0x4000]),
        ("complex64", "scomplex_val", [1.0, 2.0, 3.0, 4.0]),
        ("complex128", "dcomplex_val", [1.0, 2.0, 3.0, 4.0]),
    ],
)
def test_outputs_come_value_by_value(dtype: str, field: str, values: list[float]) -> None:
    proto = TensorProto(dtype=tf.as_dtype(dtype).as_datatype_enum, **{field: values})
    proto.tensor_shape.dim.add(size=2)
    written = TensorProto()
    tensors.write_tensor(tf.make_ndarray(proto), written)
    assert written == proto


def test_strings_that_lack_are_the_last_or_empty(
    stub: prediction_service_pb2_grpc.PredictionServiceStub,
) -> None:
    for given, expected in (([b"a"], [b"a", b"a"]), ([], [b"", b""])):
        proto = TensorProto(dtype=tf.string.as_datatype_enum, string_val=given)
        proto.tensor_shape.dim.add(size=2)
        outputs = stub.Predict(
            predict_request("kinds", "text", img_bytes=proto), timeout=60
        ).outputs
        assert outputs["echo"].string_val == expected


def test_one_value_may_stand_for_all(
    stub: prediction_service_pb2_grpc.PredictionServiceStub,
) -> None:
    proto = TensorProto(dtype=1, float_val=[4.0])
    proto.tensor_shape.dim.add(size=3)
    response = stub.Predict(predict_request("half_plus_two", x=proto), timeout=60)
    assert response.outputs["y"].float_val == [4.0, 4.0, 4.0]


@pytest.mark.parametrize(
    "sizes",
    [[1 << 40], [1 << 62, 1 << 62], [-1], [1] * 100],
    ids=["vast", "overflow", "-1", "deep"],
)
def test_tensors_that_are_none(
    stub: prediction_service_pb2_grpc.PredictionServiceStub, sizes: list[int]
) -> None:
    proto = TensorProto(dtype=1, float_val=[4.0])
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    assert failure(stub.Predict, predict_request("half_plus_two", x=proto)) == (
        "INVALID_ARGUMENT",
        "tensor parsing error: x",
    )


@pytest.mark.parametrize(
    "wrong",
    [
        TensorProto(dtype=tf.float32.as_datatype_enum, tensor_content=b"123"),
        TensorProto(dtype=tf.uint8.as_datatype_enum, int_val=[300]),
        TensorProto(dtype=tf.float32.as_datatype_enum, float_val=[1, 2]),
        TensorProto(dtype=tf.string.as_datatype_enum, string_val=[b"a", b"b"]),
        TensorProto(float_val=[1]),
    ],
    ids=["short", "out of range", "too many", "too many strings", "no dtype"],
)
def test_values_that_make_no_tensor(wrong: TensorProto) -> None:
    wrong.tensor_shape.dim.add(size=1)
    with pytest.raises(ServingError, match=r"^INVALID_ARGUMENT: tensor parsing error: x$"):
        tensors.read_tensors({"x": wrong}, 1000)


def test_errors_of_predict(stub: prediction_service_pb2_grpc.PredictionServiceStub) -> None:
    x = np.float32([1])
    assert failure(stub.Predict, predict_request("half_plus_two", "nope", x=x)) == (
        "FAILED_PRECONDITION",
        'Serving signature key "nope" not found.',
    )
    labelled = predict_request("half_plus_two", x=x)
    labelled.model_spec.version_label = "stable"
    assert failure(stub.Predict, labelled) == (
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: stable",
    )
    assert failure(stub.Predict, predict_request("half_plus_two", x=x, y=x))[1] == (
        "input size does not match signature: 2!=1 len({x,y}) != len({x}). Sent extra: {y}. "
        "Missing but required: {}."
    )
    assert (
        "takes a tensor of shape [?,4]" in failure(stub.Predict, predict_request("kinds", x=x))[1]
    )


def test_multi_inference_asks_one_model(
    stub: prediction_service_pb2_grpc.PredictionServiceStub,
) -> None:
    request = inference_pb2.MultiInferenceRequest()
    request.input.example_list.examples.add().features.feature["x"].float_list.value.append(0.5)
    for name, signature, method in (
        ("examples", "classify", "classify"),
        ("examples", "regress", "regress"),
    ):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = name, signature
    results = stub.MultiInference(request, timeout=60).results
    assert results[0].classification_result.classifications[0].classes[0].label == "pos"
    assert results[1].regression_result.regressions[0].value == 2.25
    request.tasks[1].model_spec.signature_name = "classify"
    assert failure(stub.MultiInference, request)[1] == "Duplicate evaluation of signature: classify"
    request.tasks[1].method_name = "tensorflow/serving/predict"
    request.tasks[1].model_spec.signature_name = "regress"
    assert failure(stub.MultiInference, request)[0] == "UNIMPLEMENTED"
    request.tasks[1].model_spec.name = "kinds"
    assert "must access the same model name" in failure(stub.MultiInference, request)[1]


def test_a_signature_is_looked_at_before_the_examples(
    stub: prediction_service_pb2_grpc.PredictionServiceStub,
) -> None:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "examples"
    assert failure(stub.Classify, request) == ("INVALID_ARGUMENT", "Input is empty.")
    request.model_spec.signature_name = "nope"
    assert failure(stub.Classify, request)[1] == "No signature was found with the name: nope"


def test_metadata_is_the_signatures(
    stub: prediction_service_pb2_grpc.PredictionServiceStub,
) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "kinds"
    found = get_model_metadata_pb2.SignatureDefMap()
    assert stub.GetModelMetadata(request, timeout=60).metadata["signature_def"].Unpack(found)
    assert found.signature_def["two"].inputs["b"].dtype == tf.int32.as_datatype_enum


def test_health_of_each_service(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
        request = health_pb2.HealthCheckRequest(service=service)
        assert health.Check(request, timeout=60).status == health_pb2.HealthCheckResponse.SERVING
    assert failure(health.Check, health_pb2.HealthCheckRequest(service="x"))[0] == "NOT_FOUND"


def test_reloading_token_and_message_size(saved_models: pathlib.Path) -> None:
    with (
        running(
            {"first": saved_models / "half_plus_two"}, tokens=("secret",), largest_message=10_000
        ) as one,
        one.channel() as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        service = model_service_pb2_grpc.ModelServiceStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        health.Check(health_pb2.HealthCheckRequest(), timeout=60)
        request = predict_request("first", x=np.float32([1]))
        assert failure(stub.Predict, request)[0] == "UNAUTHENTICATED"
        token = (("authorization", "Bearer secret"),)
        assert stub.Predict(request, timeout=60, metadata=token).outputs["y"].float_val == [2.5]
        with pytest.raises(grpc.RpcError) as error:
            stub.Predict(
                predict_request("first", x=np.zeros(5000, "f4")), timeout=60, metadata=token
            )
        assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED

        reload = model_management_pb2.ReloadConfigRequest()
        reload.config.model_config_list.config.add(
            name="second", base_path=str(saved_models / "kinds"), model_platform="tensorflow"
        )
        response = service.HandleReloadConfigRequest(reload, timeout=60, metadata=token)
        assert response.status.error_code == 0
        status = get_model_status_pb2.GetModelStatusRequest()
        status.model_spec.name = "second"
        (state,) = service.GetModelStatus(status, timeout=60, metadata=token).model_version_status
        assert (state.version, state.state) == (1, 30)
        with pytest.raises(grpc.RpcError) as error:
            stub.Predict(request, timeout=60, metadata=token)
        assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_reflection_names_the_services_and_their_messages(channel: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest
    name = "tensorflow.serving.PredictionService"
    listed, described, strange = stub.ServerReflectionInfo(
        iter(
            [
                request(list_services=""),
                request(file_containing_symbol=name),
                request(file_by_filename="x" * 2000),
            ]
        ),
        timeout=60,
    )
    services = [service.name for service in listed.list_services_response.service]
    assert {name, "tensorflow.serving.ModelService", "grpc.health.v1.Health"} < {*services}
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(file)
        for file in described.file_descriptor_response.file_descriptor_proto
    ]
    methods = [m.name for file in files for one in file.service for m in one.method]
    assert "Predict" in methods
    assert strange.error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def test_messages_count_to_what_all_requests_may_hold(saved_models: pathlib.Path) -> None:
    model = {"m": saved_models / "half_plus_two"}
    with running(model, largest_bodies=1000) as one, one.channel() as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        assert stub.Predict(predict_request("m", x=np.ones(200, "f4")), timeout=60).outputs
        with pytest.raises(grpc.RpcError) as error:
            stub.Predict(predict_request("m", x=np.ones(250, "f4")), timeout=60)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert ("grpc-retry-pushback-ms", "1000") in error.value.trailing_metadata()
        assert one.ask("POST", "/v1/models/m:predict", b" " * 1001).headers["retry-after"] == "1"
        assert one.server.app.state.inference.room.taken == 0
