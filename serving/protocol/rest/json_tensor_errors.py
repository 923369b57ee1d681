"""What is wrong with JSON that does not convert to tensors.

Statuses, and which key or row is named, are those of TensorFlow Serving's
tensorflow_serving/util/json_tensor.cc.
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
from serving.protocol.rest.json_arrays import DEEPEST, flatten
from serving.protocol.rest.json_base64 import decode_base64, is_base64
from serving.protocol.rest.json_values import show, type_name


def explain_rows(rows: list[Any], infos: Mapping[str, TensorInfo]) -> ServingError:
    """Why `rows`, not empty, are not the rows of the inputs that `infos` describes."""
    if not isinstance(rows[0], dict) and len(infos) > 1:
        return invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    shapes: dict[str, tuple[int, ...]] = {}
    objects = _is_row(rows[0])
    for i, row in enumerate(rows):
        if objects != _is_row(row):
            expected, received = ("object", "list") if objects else ("value/list", "object")
            return invalid(f"Expecting {expected} but got {received} at item {i} of input list")
        for name, value in (row if objects else {next(iter(infos)): row}).items():
            if problem := _problem_of_item(name, value, infos, shapes):
                key = f" key: {name}" if objects else ""
                return invalid(
                    f"Failed to process element: {i}{key} of 'instances' list. "
                    f"Error: {problem.code.name}: {problem.message}"
                )
        if objects and row.keys() != infos.keys():
            return invalid(
                f"Failed to process element: {i} of 'instances' list. JSON object: {show(row)} "
                f"keys must be equal to: {','.join(sorted(infos))}"
            )
    return invalid("'instances' do not convert to the inputs of the signature")


def explain_column(name: str, value: Any, dtype: int) -> ServingError:
    """Why `value` is not the tensor of `dtype` that the input `name` takes."""
    problem, _ = _problem(value, dtype)
    return problem or invalid(f"'inputs' does not convert to {dtype_name(dtype)} at key: {name}")


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _problem_of_item(
    name: str, value: Any, infos: Mapping[str, TensorInfo], shapes: dict[str, tuple[int, ...]]
) -> ServingError | None:
    """What is wrong with one input of a row; notes the shape of the first of each name."""
    if name not in infos:
        return invalid(f"JSON object: does not have named input: {name}")
    problem, shape = _problem(value, infos[name].dtype)
    if problem is None and shapes.setdefault(name, shape) != shape:
        return invalid(f"Expecting shape {list(shapes[name])} but got: {list(shape)}")
    return problem


def _problem(value: Any, dtype: int) -> tuple[ServingError | None, tuple[int, ...]]:
    """What is wrong with a value, if anything, and its shape."""
    dense = flatten(value)
    if dense is None:
        return invalid(
            f"JSON Value: {show(value)} has lists of unequal size, or more than {DEEPEST} levels"
        ), ()
    flat, shape = dense
    return next(filter(None, (_problem_of_scalar(one, dtype) for one in flat)), None), shape


def _problem_of_scalar(value: Any, dtype: int) -> ServingError | None:
    if dtype not in NUMPY_TYPES:
        return ServingError(
            grpc.StatusCode.UNIMPLEMENTED,
            f"Conversion of JSON Value: {show(value)} to type: {dtype_name(dtype)}",
        )
    if dtype == types_pb2.DT_STRING and is_base64(value):
        try:
            decode_base64(value)
        except ServingError as error:
            return error
        return None
    if _fits(value, dtype):
        return None
    return invalid(
        f"JSON Value: {show(value)} Type: {type_name(value)} is not of expected type: "
        f"{dtype_name(dtype)}"
    )


def _fits(value: Any, dtype: int) -> bool:
    if dtype == types_pb2.DT_STRING:
        return isinstance(value, str)
    if dtype == types_pb2.DT_BOOL or isinstance(value, bool):
        return dtype == types_pb2.DT_BOOL and isinstance(value, bool)
    if dtype in (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE):
        return isinstance(value, int | float)
    limits = np.iinfo(NUMPY_TYPES[dtype])
    return isinstance(value, int) and limits.min <= value <= limits.max
