"""Which dtypes tensors of a request may have, and what messages call them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
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
_NAMES = {types_pb2.DT_FLOAT: "float", types_pb2.DT_DOUBLE: "double", types_pb2.DT_HALF: "half"}


def dtype_name(dtype: int) -> str:
    """TensorFlow's C++ name of a dtype, such as "float" for DT_FLOAT."""
    return _NAMES.get(dtype) or tf.dtypes.as_dtype(dtype).name
