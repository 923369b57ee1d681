"""JSON of classify and regress requests to serialised `tf.train.Example`s.

Follows TensorFlow Serving's tensorflow_serving/util/json_tensor.cc, messages included.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow.core.example.example_pb2 import Example
from tensorflow.core.example.feature_pb2 import Feature

from serving.errors import invalid
from serving.protocol.request_checks import check_strings
from serving.protocol.rest.json_base64 import decode_base64, is_base64
from serving.protocol.rest.json_values import show, type_name

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read_examples(document: dict[str, Any]) -> np.ndarray:
    """The examples of a request, serialised, bytes [N]; its context is part of each of them.

    Raises:
        ServingError: INVALID_ARGUMENT for what is no list of examples.
    """
    context = _example(document["context"]).SerializeToString() if "context" in document else b""
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {show(document)} When method is classify, key 'examples' is expected and "
            "was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise invalid(
            f"JSON Value: {show(document)} Expecting 'examples' value to be an list/array"
        )
    if not examples:
        raise invalid(f"JSON Value: {show(document)} 'examples' value is an empty array")
    check_strings(len(examples))
    # The text of two messages in a row is the text of both merged; the later has the last word.
    return np.array([context + _example(value).SerializeToString() for value in examples], object)


def _example(value: Any) -> Example:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_name(value)}")
    example = Example()
    for name, content in value.items():
        feature = example.features.feature[name]
        elements = content if isinstance(content, list) else [content]
        # Lists of numbers are long.
        if set(map(type, elements)) == {int} and max(elements) < 1 << 63:
            feature.int64_list.value.extend(elements)
        elif set(map(type, elements)) == {float}:
            feature.float_list.value.extend(_narrow(elements).tolist())
        else:
            for element in elements:
                _add(element, name, feature)
    return example


def _add(value: Any, name: str, feature: Feature) -> None:
    kind = _kind(value, name)
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        raise invalid(
            f"Unexpected element type in feature: {name} expecting type: {_KINDS[present]}"
        )
    getattr(feature, kind).value.append(_convert(value, name))


def _kind(value: Any, name: str) -> str:
    """The kind of list that `value` goes into."""
    if isinstance(value, str) or is_base64(value):
        return "bytes_list"
    if value is None or isinstance(value, list | dict):
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
    return "float_list" if isinstance(value, float) else "int64_list"


def _convert(value: Any, name: str) -> int | float | bytes:
    """What goes into the list."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        return decode_base64(value)
    if isinstance(value, float):
        return float(_narrow(value))
    if value >= 1 << 63:
        raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    return int(value)


def _narrow(value: Any) -> np.ndarray:
    """float32 of one or many floats; what is too large is infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(value, np.float64).astype(np.float32)
