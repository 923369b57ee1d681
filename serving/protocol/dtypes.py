"""Which dtypes tensors of a request may have, and what messages call them."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from tensorflow.core.framework import types_pb2

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
# Those that a TensorProto has values for.
PROTO_TYPES: dict[int, type] = NUMPY_TYPES | {
    types_pb2.DT_HALF: np.float16,
    types_pb2.DT_BFLOAT16: ml_dtypes.bfloat16,
    types_pb2.DT_UINT16: np.uint16,
    types_pb2.DT_COMPLEX64: np.complex64,
    types_pb2.DT_COMPLEX128: np.complex128,
}
_NUMBERS = {np.dtype(kind): number for number, kind in PROTO_TYPES.items()}


def dtype_number(dtype: np.dtype) -> int:
    """The number of a dtype of PROTO_TYPES; any text or bytes are strings."""
    return types_pb2.DT_STRING if dtype.kind in "SU" else _NUMBERS[dtype]


def dtype_name(dtype: int) -> str:
    """TensorFlow's C++ name of a dtype, such as "float" for DT_FLOAT."""
    return types_pb2.DataType.Name(dtype).removeprefix("DT_").lower()
