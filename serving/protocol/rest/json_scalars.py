"""Single values of tensors in JSON: which dtypes there are, and bytes in base64."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from serving.errors import ServingError

# The dtypes that JSON has values for, by their number in a TensorInfo.
NUMPY_TYPES: dict[int, type] = {
    types_pb2.DT_FLOAT: np.float32,
    types_pb2.DT_DOUBLE: np.float64,
    types_pb2.DT_INT32: np.int32,
    types_pb2.DT_INT16: np.int16,
    types_pb2.DT_INT8: np.int8,
    types_pb2.DT_UINT8: np.uint8,
    types_pb2.DT_STRING: np.object_,
    types_pb2.DT_INT64: np.int64,
    types_pb2.DT_BOOL: np.bool_,
    types_pb2.DT_UINT32: np.uint32,
    types_pb2.DT_UINT64: np.uint64,
}
_NAMES = {types_pb2.DT_FLOAT: "float", types_pb2.DT_DOUBLE: "double", types_pb2.DT_HALF: "half"}
_WHITESPACE = str.maketrans("", "", " \t\n\v\f\r")
_BASE64 = re.compile(r"([A-Za-z0-9+/]*)([=.]*)")


def dtype_name(dtype: int) -> str:
    """TensorFlow's C++ name of a dtype, such as "float" for DT_FLOAT."""
    return _NAMES.get(dtype) or tf.dtypes.as_dtype(dtype).name


def is_base64(value: Any) -> bool:
    """Whether `value` is an object of one key, "b64", with a string."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def decode_base64(value: dict[str, str]) -> bytes:
    """The bytes of a `{"b64": ...}` object; padding and white space are optional.

    Raises:
        ServingError: INVALID_ARGUMENT for what is no base64. The web-safe alphabet is not taken.
    """
    text = value["b64"]
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        match = _BASE64.fullmatch(text.translate(_WHITESPACE))
    missing = -len(match[1]) % 4 if match else 3
    if missing == 3 or len(match[2]) not in (0, missing):
        raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "Unable to base64 decode")
    return base64.b64decode(match[1] + "=" * missing)
