"""What is wrong with JSON that does not convert to tensors, as TensorFlow Serving says it.

Messages and the order of the checks are those of its tensorflow_serving/util/json_tensor.cc.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo

from serving.errors import ServingError, invalid
from serving.protocol.dtypes import NUMPY_TYPES, dtype_name
from serving.protocol.rest.json_base64 import decode_base64, is_base64
from serving.protocol.rest.json_values import show, type_name

# NumPy has 64 dimensions at most.
DEEPEST = 64


def explain_rows(rows: list[Any], infos: Mapping[str, TensorInfo]) -> ServingError:
    """Why `rows`, not empty, are not the rows of the inputs that `infos` describes."""
    if not isinstance(rows[0], dict) and len(infos) > 1:
        return invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    shapes: dict[str, list[int]] = {}
    objects = _is_row(rows[0])
    for i, row in enumerate(rows):
        if objects != _is_row(row):
            expected, received = ("object", "list") if objects else ("value/list", "object")
            return invalid(f"Expecting {expected} but got {received} at item {i} of input list")
        for name, value in (row if objects else {next(iter(infos)): row}).items():
            error = _explain_item(value, name, infos, shapes)
            if error:
                key = f" key: {name}" if objects else ""
                return invalid(
                    f"Failed to process element: {i}{key} of 'instances' list. "
                    f"Error: {error.code.name}: {error.message}"
                )
        if objects and row.keys() != infos.keys():
            return invalid(
                f"Failed to process element: {i} of 'instances' list. JSON object: {show(row)} "
                f"keys must be equal to: {','.join(sorted(infos))}"
            )
    return invalid("'instances' do not convert to the inputs of the signature")


def explain_column(value: Any, dtype: int) -> ServingError:
    """Why `value` is not a tensor of `dtype`."""
    shape = _shape(value)
    error = _explain(value, 0, shape, dtype)
    return error or invalid(f"A value of 'inputs' does not convert to {dtype_name(dtype)}")


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _explain_item(
    value: Any, name: str, infos: Mapping[str, TensorInfo], shapes: dict[str, list[int]]
) -> ServingError | None:
    """What is wrong with one input of a row; notes the shape of the first of each name."""
    if name not in infos:
        return invalid(f"JSON object: does not have named input: {name}")
    shape = _shape(value)
    error = _explain(value, 0, shape, infos[name].dtype)
    if error:
        return error
    first = shapes.setdefault(name, shape)
    if np.prod(first) != np.prod(shape):
        return invalid(
            f"Expecting tensor size: {np.prod(first, dtype=int)} but got: "
            f"{np.prod(shape, dtype=int)}"
        )
    if first != shape:
        return invalid(f"Expecting shape {_show_shape(first)} but got: {_show_shape(shape)}")
    return None


def _shape(value: Any) -> list[int]:
    """The shape that the first elements have."""
    shape: list[int] = []
    while isinstance(value, list) and len(shape) <= DEEPEST:
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _show_shape(shape: list[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _explain(value: Any, level: int, shape: list[int], dtype: int) -> ServingError | None:
    if len(shape) > DEEPEST:
        return invalid(f"Lists are nested deeper than {DEEPEST} levels")
    if not isinstance(value, list):
        if level != len(shape):
            return invalid(
                f"JSON Value: {show(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        return _explain_scalar(value, dtype)
    if level >= len(shape):
        return invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        return invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for element in value:
        error = _explain(element, level + 1, shape, dtype)
        if error:
            return error
    return None


def _explain_scalar(value: Any, dtype: int) -> ServingError | None:
    if isinstance(value, dict) and dtype == types_pb2.DT_STRING:
        if not is_base64(value):
            return invalid(f"JSON Value: {show(value)} not formatted correctly for base64 data")
        try:
            decode_base64(value)
        except ServingError as error:
            return error
        return None
    if isinstance(value, dict) or (dtype in NUMPY_TYPES and not _fits(value, dtype)):
        return invalid(
            f"JSON Value: {show(value)} Type: {type_name(value)} is not of expected type: "
            f"{dtype_name(dtype)}"
        )
    if dtype not in NUMPY_TYPES:
        return ServingError(
            grpc.StatusCode.UNIMPLEMENTED,
            f"Conversion of JSON Value: {show(value)} to type: {dtype_name(dtype)}",
        )
    return None


def _fits(value: Any, dtype: int) -> bool:
    if dtype == types_pb2.DT_STRING:
        return isinstance(value, str)
    if dtype == types_pb2.DT_BOOL or isinstance(value, bool):
        return dtype == types_pb2.DT_BOOL and isinstance(value, bool)
    if dtype in (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE):
        return isinstance(value, int | float)
    limits = np.iinfo(NUMPY_TYPES[dtype])
    return isinstance(value, int) and limits.min <= value <= limits.max
