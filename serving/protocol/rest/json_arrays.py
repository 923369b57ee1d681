"""JSON values to arrays, level by level in C; why one does not convert is said elsewhere."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2

from serving.errors import ServingError
from serving.protocol.dtypes import NUMPY_TYPES, PROTO_TYPES
from serving.protocol.request_checks import check_strings
from serving.protocol.rest.json_base64 import decode_base64, is_base64

# NumPy has 64 dimensions at most.
DEEPEST = 64


def to_array(value: Any, dtype: int) -> np.ndarray | None:
    """`value` as an array, or None where it is ragged or not of `dtype`."""
    dense = flatten(value)
    if dense is None:
        return None
    flat, shape = dense
    if not flat:
        return np.empty(shape, PROTO_TYPES[dtype]) if dtype in PROTO_TYPES else None
    if dtype not in NUMPY_TYPES:
        return None
    types = set(map(type, flat))
    if dtype == types_pb2.DT_STRING:
        return _to_strings(flat, shape) if types <= {str, dict} else None
    allowed = {types_pb2.DT_FLOAT: {int, float}, types_pb2.DT_DOUBLE: {int, float}}
    if not types <= allowed.get(dtype, {bool} if dtype == types_pb2.DT_BOOL else {int}):
        return None
    try:
        if dtype == types_pb2.DT_FLOAT:
            with np.errstate(over="ignore"):
                return np.array(flat, np.float64).astype(np.float32).reshape(shape)
        return np.array(flat, NUMPY_TYPES[dtype]).reshape(shape)
    except OverflowError:
        return None


def flatten(value: Any) -> tuple[list[Any], tuple[int, ...]] | None:
    """The values of nested lists in one list, and the shape; None where lengths differ."""
    level: list[Any] = [value]
    shape: tuple[int, ...] = ()
    while level and isinstance(level[0], list):
        if set(map(type, level)) != {list} or len(lengths := set(map(len, level))) != 1:
            return None
        shape += tuple(lengths)
        if len(shape) > DEEPEST:
            return None
        level = list(chain.from_iterable(level))
    return level, shape


def _to_strings(flat: list[Any], shape: tuple[int, ...]) -> np.ndarray | None:
    check_strings(len(flat))
    strings = np.empty(len(flat), object)
    for i, value in enumerate(flat):
        if isinstance(value, str):
            strings[i] = value.encode()
        elif is_base64(value):
            try:
                strings[i] = decode_base64(value)
            except ServingError:
                return None
        else:
            return None
    return strings.reshape(shape)
