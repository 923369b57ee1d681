"""What the services look like, for tools that ask by reflection, such as grpcurl.

The modules of tensorflow-serving-api that describe its services cannot be imported beside the
protobuf that TensorFlow has, so that their descriptions are put together here from the messages.
"""

from __future__ import annotations

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

# By service: the names of its methods, and of their messages without "Request" and "Response".
_SERVICES = {
    "PredictionService": {
        "Predict": (predict_pb2, "Predict"),
        "Classify": (classification_pb2, "Classification"),
        "Regress": (regression_pb2, "Regression"),
        "MultiInference": (inference_pb2, "MultiInference"),
        "GetModelMetadata": (get_model_metadata_pb2, "GetModelMetadata"),
    },
    "ModelService": {
        "GetModelStatus": (get_model_status_pb2, "GetModelStatus"),
        "HandleReloadConfigRequest": (model_management_pb2, "ReloadConfig"),
    },
}
_PACKAGE = "tensorflow.serving"
# No sensible question is longer.
_LONGEST = 1024


def handlers() -> grpc.GenericRpcHandler:
    """The service of reflection."""
    names = [f"{_PACKAGE}.{name}" for name in _SERVICES]
    about = [health.SERVICE_NAME, reflection.SERVICE_NAME]
    servicer = reflection.aio.ReflectionServicer([*names, *about], pool=_pool())

    def read(raw: bytes) -> reflection_pb2.ServerReflectionRequest:
        return reflection_pb2.ServerReflectionRequest.FromString(
            raw if len(raw) < _LONGEST else b""
        )

    write = reflection_pb2.ServerReflectionResponse.SerializeToString
    answer = grpc.stream_stream_rpc_method_handler(servicer.ServerReflectionInfo, read, write)
    return grpc.method_handlers_generic_handler(
        reflection.SERVICE_NAME, {"ServerReflectionInfo": answer}
    )


def _pool() -> descriptor_pool.DescriptorPool:
    """The services with their messages."""
    pool = descriptor_pool.DescriptorPool()
    known: set[str] = set()

    def add(file: descriptor_pb2.FileDescriptorProto) -> None:
        if file.name in known:
            return
        known.add(file.name)
        for name in file.dependency:
            add(_described(name))
        pool.Add(file)

    for service, methods in _SERVICES.items():
        file = descriptor_pb2.FileDescriptorProto(
            name=f"tensorflow_serving/apis/{service}.proto",
            package=_PACKAGE,
            syntax="proto3",
            dependency=[messages.DESCRIPTOR.name for messages, _ in methods.values()],
        )
        described = file.service.add(name=service)
        for method, (_, message) in methods.items():
            described.method.add(
                name=method,
                input_type=f".{_PACKAGE}.{message}Request",
                output_type=f".{_PACKAGE}.{message}Response",
            )
        add(file)
    for messages in (health_pb2, reflection_pb2):
        add(_described(messages.DESCRIPTOR.name))
    return pool


def _described(name: str) -> descriptor_pb2.FileDescriptorProto:
    described = descriptor_pb2.FileDescriptorProto()
    descriptor_pool.Default().FindFileByName(name).CopyToProto(described)
    return described
