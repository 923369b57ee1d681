"""TensorFlow Serving's gRPC services as the client speaks them.

Messages after tensorflow_serving/apis/{predict,get_model_metadata,get_model_status}.proto.
Importing this imports TensorFlow, which tensorflow-serving-api's messages are built on.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.client.operations import Reply
from serving.client.rest import metadata_from_json, statuses_from_json
from serving.client.types import ClientError, ModelMetadata, Signature, VersionStatus

# gRPC's default of 4 MB is less than a batch of photographs.
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclasses.dataclass(frozen=True)
class GrpcCall:
    """One call: the method's name and its request."""

    method: str
    request: Message


class GrpcProtocol:
    """Requests to one model, at its default version, a version or a label."""

    names_outputs = True
    teaches = False

    def __init__(self, model: str, version: int | None, label: str | None) -> None:
        self._spec = model_pb2.ModelSpec(name=model)
        if version is not None:
            self._spec.version.value = version
        elif label is not None:
            self._spec.version_label = label

    def predict(self, signature: str, inputs: dict[str, Any]) -> GrpcCall:
        request = predict_pb2.PredictRequest(model_spec=self._spec)
        request.model_spec.signature_name = signature
        for alias, value in inputs.items():
            strings = isinstance(value, np.ndarray) and value.dtype == object
            # Of an empty array it could not tell.
            dtype = tf.string if strings else None
            request.inputs[alias].CopyFrom(tf.make_tensor_proto(value, dtype))
        return GrpcCall("Predict", request)

    def outputs(
        self, response: predict_pb2.PredictResponse, signature: Signature | None
    ) -> dict[str, np.ndarray]:
        del signature  # the response names its outputs itself
        return {alias: tf.make_ndarray(tensor) for alias, tensor in response.outputs.items()}

    def metadata(self) -> GrpcCall:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec, metadata_field=["signature_def"]
        )
        return GrpcCall("GetModelMetadata", request)

    def read_metadata(self, response: Message) -> ModelMetadata:
        return metadata_from_json(_as_json(response))

    def status(self) -> GrpcCall:
        spec = model_pb2.ModelSpec(name=self._spec.name)
        if self._spec.HasField("version"):
            spec.version.CopyFrom(self._spec.version)
        return GrpcCall(
            "GetModelStatus", get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
        )

    def read_status(self, response: Message) -> list[VersionStatus]:
        return statuses_from_json(_as_json(response))


def _as_json(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _failure(error: grpc.RpcError) -> Reply:
    code = error.code()
    details = error.details() or ""
    # gRPC says "exhausted" of a message that is too long, too; it will be as long next time.
    too_long = "larger than max" in details
    busy = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
    # The stubs describe an object where there is a pair.
    trailers: dict[str, str] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
    # Milliseconds, negative for "never"; gRPC turns what is no number into one that is negative
    # (github.com/grpc/proposal, A6-client-retries.md).
    wait = float(trailers.get("grpc-retry-pushback-ms", 0)) / 1000
    return Reply(
        error=ClientError(details, code.name),
        retry=busy and not too_long and wait >= 0,
        retry_after=wait,
    )


def _methods(channel: Any) -> dict[str, Any]:
    predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    return {
        "Predict": predictions.Predict,
        "GetModelMetadata": predictions.GetModelMetadata,
        "GetModelStatus": models.GetModelStatus,
    }


def _channel(
    library: Any, url: str, ca_file: str | None, certificate: tuple[str, str] | None
) -> Any:
    """A channel of `grpc` or of `grpc.aio`."""
    scheme, target = url.split("://", 1)
    target = target.rstrip("/")
    if scheme == "grpc":
        return library.insecure_channel(target, options=UNLIMITED)
    root = None if ca_file is None else Path(ca_file).read_bytes()
    chain, key = (Path(file).read_bytes() for file in certificate) if certificate else (None, None)
    credentials = grpc.ssl_channel_credentials(root, key, chain)
    return library.secure_channel(target, credentials, options=UNLIMITED)


def _metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    return () if token is None else (("authorization", f"Bearer {token}"),)


class GrpcTransport:
    """Sends gRPC calls over one channel; safe to use from several threads."""

    def __init__(
        self,
        url: str,
        token: str | None,
        timeout: float,
        ca_file: str | None,
        certificate: tuple[str, str] | None = None,
    ) -> None:
        self._channel = _channel(grpc, url, ca_file, certificate)
        self._methods = _methods(self._channel)
        self._options = {"timeout": timeout, "metadata": _metadata(token)}

    def send(self, call: GrpcCall) -> Reply:
        try:
            return Reply(value=self._methods[call.method](call.request, **self._options))
        except grpc.RpcError as error:
            return _failure(error)

    def close(self) -> None:
        self._channel.close()


class AsyncGrpcTransport:
    """`GrpcTransport` for asyncio."""

    def __init__(
        self,
        url: str,
        token: str | None,
        timeout: float,
        ca_file: str | None,
        certificate: tuple[str, str] | None = None,
    ) -> None:
        self._channel = _channel(grpc.aio, url, ca_file, certificate)
        self._methods = _methods(self._channel)
        self._options = {"timeout": timeout, "metadata": _metadata(token)}

    async def send(self, call: GrpcCall) -> Reply:
        try:
            return Reply(value=await self._methods[call.method](call.request, **self._options))
        except grpc.RpcError as error:
            return _failure(error)

    async def close(self) -> None:
        await self._channel.close()
