"""The messages of large calls, read and written in one go: see `protocol.work`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import grpc
import numpy as np
from google.protobuf.message import DecodeError, Message
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)
from tensorflow_serving.apis.model_pb2 import ModelSpec

from serving.engine import examples
from serving.errors import ServingError, invalid
from serving.protocol.example_results import Classes
from serving.protocol.grpc import tensors
from serving.protocol.request_checks import (
    DEFAULT_SIGNATURE,
    Limits,
    Question,
    check_strings,
    checked,
)
from serving.protocol.work import SMALL

# Of a large request at its highest level: inputs, outputs to compute, or tasks.
_MOST_FIELDS = 4096
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

_M = TypeVar("_M", bound=Message)


def parse(kind: type[_M], raw: bytes) -> _M:
    """A message.

    Raises:
        ServingError: INVALID_ARGUMENT for bytes that are none.
    """
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise invalid(f"The request is no {kind.DESCRIPTOR.full_name}") from None


def first_field(raw: bytes) -> bytes:
    """The occurrences of field 1 alone, which names the model; the rest is only skipped.

    Encoding: https://protobuf.dev/programming-guides/encoding/.

    Raises:
        ServingError: INVALID_ARGUMENT for what is no message, or more fields than any request has.
    """
    if len(raw) <= SMALL:
        return raw
    found, at = b"", 0
    try:
        for _ in range(_MOST_FIELDS):
            if at >= len(raw):
                break
            start = at
            tag, at = _varint(raw, at)
            kind = tag & 7
            if kind == _VARINT:
                _, at = _varint(raw, at)
            elif kind == _LENGTH:
                length, at = _varint(raw, at)
                at += length
            else:
                at += {_FIXED64: 8, _FIXED32: 4}[kind]
            if tag >> 3 == 1:
                found += raw[start:at]
    except (IndexError, KeyError):
        at = len(raw) + 1
    if at != len(raw) or len(found) > SMALL:
        raise invalid("The request is no message of this call")
    return found


def read_predict(
    raw: bytes, signatures: Mapping[str, SignatureDef], limits: Limits, largest_tensor: int
) -> Question:
    """What a PredictRequest asks a model with these signatures.

    Raises:
        ServingError: FAILED_PRECONDITION for an unknown signature, INVALID_ARGUMENT for inputs or
            outputs that are not the signature's.
    """
    request = parse(predict_pb2.PredictRequest, raw)
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in signatures:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
        )
    inputs = tensors.read_tensors(request.inputs, largest_tensor)
    return checked(name, signatures[name], inputs, limits, request.output_filter)


def read_examples(kind: Any, raw: bytes) -> np.ndarray:
    """The serialized examples of a request of a kind that has an `input`: bytes [N].

    Raises:
        ServingError: INVALID_ARGUMENT for more than a request may hold.
    """
    request = parse(kind, raw)
    found = request.input.example_list_with_context.examples or request.input.example_list.examples
    check_strings(len(found))
    return examples.serialized(request.input)


def write_predict(spec: ModelSpec, outputs: Mapping[str, np.ndarray]) -> bytes:
    """A PredictResponse."""
    response = predict_pb2.PredictResponse(model_spec=spec)
    for alias, array in outputs.items():
        tensors.write_tensor(array, response.outputs[alias])
    return response.SerializeToString()


def write_classes(spec: ModelSpec, classes: Classes) -> bytes:
    """A ClassificationResponse."""
    response = classification_pb2.ClassificationResponse(model_spec=spec)
    _add_classes(classes, response.result)
    return response.SerializeToString()


def write_values(spec: ModelSpec, values: np.ndarray) -> bytes:
    """A RegressionResponse."""
    response = regression_pb2.RegressionResponse(model_spec=spec)
    _add_values(values, response.result)
    return response.SerializeToString()


def write_results(specs: Sequence[ModelSpec], results: Sequence[Classes | np.ndarray]) -> bytes:
    """A MultiInferenceResponse."""
    response = inference_pb2.MultiInferenceResponse()
    for spec, result in zip(specs, results, strict=True):
        entry = response.results.add(model_spec=spec)
        if isinstance(result, Classes):
            _add_classes(result, entry.classification_result)
        else:
            _add_values(result, entry.regression_result)
    return response.SerializeToString()


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise IndexError


def _add_classes(classes: Classes, result: classification_pb2.ClassificationResult) -> None:
    for row in classes.rows():
        classifications = result.classifications.add()
        for label, score in row:
            classifications.classes.add(label=label, score=score)


def _add_values(values: np.ndarray, result: regression_pb2.RegressionResult) -> None:
    for value in values.tolist():
        result.regressions.add(value=value)
