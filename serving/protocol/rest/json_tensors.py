"""JSON of a predict request to input tensors: rows (`instances`) and columns (`inputs`).

What does not convert is left to `json_tensor_errors`, which walks value by value to say what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo

from serving.errors import invalid
from serving.protocol.rest import json_tensor_errors
from serving.protocol.rest.json_arrays import to_array
from serving.protocol.rest.json_base64 import is_base64
from serving.protocol.rest.json_values import show


def read_signature_name(document: Any) -> str:
    """The `signature_name` of a request, or "" where it has none.

    Raises:
        ServingError: INVALID_ARGUMENT where the document is no object, or the name no string.
    """
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {show(document)} Is not object")
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {show(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def read_inputs(
    document: dict[str, Any], infos: Mapping[str, TensorInfo]
) -> tuple[dict[str, np.ndarray], bool]:
    """The input tensors of a predict request, by alias, and whether it is in rows.

    Args:
        infos: dtype of each input, by alias.

    Raises:
        ServingError: INVALID_ARGUMENT for what does not convert, UNIMPLEMENTED for dtypes that
            JSON has no values for.
    """
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {show(document)} Not formatted correctly expecting only one of 'inputs' "
            "or 'instances' keys to exist "
        )
    if "inputs" in document:
        return _read_columns(document["inputs"], infos), False
    if "instances" not in document:
        raise invalid("Missing 'inputs' or 'instances' key")
    rows = document["instances"]
    if not isinstance(rows, list):
        raise invalid(f"JSON Value: {show(document)} Expecting 'instances' to be an list/array")
    if not rows:
        raise invalid(f"JSON Value: {show(document)} No values in 'instances' array")
    return _read_rows(rows, infos), True


def _read_rows(rows: list[Any], infos: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    names = infos.keys()
    if isinstance(rows[0], dict) and not is_base64(rows[0]):
        right = all(isinstance(row, dict) and row.keys() == names for row in rows)
        columns = {name: [row[name] for row in rows] for name in names} if right else {}
    else:
        columns = {next(iter(names)): rows} if len(infos) == 1 else {}
    arrays = {
        name: array
        for name, column in columns.items()
        if (array := to_array(column, infos[name].dtype)) is not None
    }
    if not arrays or len(arrays) < len(columns):
        raise json_tensor_errors.explain_rows(rows, infos)
    return arrays


def _read_columns(value: Any, infos: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    if isinstance(value, dict) and not is_base64(value):
        columns = value
        for name in infos:
            if name not in columns:
                raise invalid(f"Missing named input: {name} in 'inputs' object.")
    elif len(infos) > 1:
        raise invalid(
            "inputs is a plain value/list, but expecting an object as multiple input tensors "
            "required as per tensorinfo_map"
        )
    else:
        columns = {next(iter(infos)): value}
    arrays = {}
    for name, info in infos.items():
        array = to_array(columns[name], info.dtype)
        if array is None:
            raise json_tensor_errors.explain_column(name, columns[name], info.dtype)
        arrays[name] = _shaped(array, info)
    return arrays


def _shaped(array: np.ndarray, info: TensorInfo) -> np.ndarray:
    """`array`, or an empty one of the input's rank for `[]`: JSON has no other empty batch."""
    sizes = [max(dim.size, 0) for dim in info.tensor_shape.dim]
    if array.shape != (0,) or len(sizes) < 2:
        return array
    return array.reshape(0, *sizes[1:])
