"""What is known of models: states of versions and signatures, as TensorFlow Serving's messages.

As its model_servers/get_model_status_impl.cc and
servables/tensorflow/get_model_metadata_impl.cc.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse
from tensorflow_serving.apis.model_pb2 import ModelSpec

from serving.engine.models import Models
from serving.engine.servable import INIT_SIGNATURE
from serving.engine.served_version import ServedVersion
from serving.errors import ServingError


def status(models: Models, spec: ModelSpec) -> GetModelStatusResponse:
    """The states of a model's versions, newest first, or of the one asked for; labels are not read.

    Raises:
        ServingError: NOT_FOUND where there is none.
    """
    version = spec.version.value if spec.HasField("version") else None
    response = GetModelStatusResponse()
    for state in models.status(spec.name, version):
        entry = response.model_version_status.add(version=state.version, state=state.state)
        # Set where all is well, too.
        entry.status.error_code = state.error.code.value[0] if state.error else 0
        entry.status.error_message = state.error.message if state.error else ""
        entry.status.SetInParent()
    return response


def signatures(version: ServedVersion) -> SignatureDefMap:
    """The signatures of a version; as TensorFlow has it, its initialiser is one of them."""
    found = SignatureDefMap(signature_def=dict(version.signatures))
    if version.servable.initializer is not None:
        found.signature_def[INIT_SIGNATURE].CopyFrom(version.servable.initializer)
    return found


def spec_of(version: ServedVersion, signature_name: str = "") -> ModelSpec:
    """The version, and the signature, that answered."""
    spec = ModelSpec(name=version.name, signature_name=signature_name)
    spec.version.value = version.version
    return spec


def overview(models: Models) -> dict[str, Any]:
    """All configured models: their versions as `status` has them, labels, a folder's problem."""
    listed = []
    for name in models.names:
        try:
            versions = to_json(status(models, ModelSpec(name=name)))["model_version_status"]
        except ServingError:
            versions = []
        listed.append(
            {
                "name": name,
                "versions": versions,
                "labels": models.labels(name),
                "problem": models.problem(name),
            }
        )
    return {"models": listed}


def to_json(message: Message) -> dict[str, Any]:
    """A message as TensorFlow Serving's REST has it: names as in the proto, defaults printed."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
