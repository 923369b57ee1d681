"""TensorProto to arrays and back, as TensorFlow Serving reads and writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto

from serving.errors import ServingError

# Where the values of each dtype lie (tensorflow/core/framework/tensor.proto).
_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_STRING: "string_val",
    types_pb2.DT_HALF: "half_val",
    types_pb2.DT_BFLOAT16: "half_val",
    types_pb2.DT_COMPLEX64: "scomplex_val",
    types_pb2.DT_COMPLEX128: "dcomplex_val",
}
# Of these a field holds the bits, or the real and the imaginary parts in turn.
_PARTS = {
    types_pb2.DT_HALF: np.uint16,
    types_pb2.DT_BFLOAT16: np.uint16,
    types_pb2.DT_COMPLEX64: np.float32,
    types_pb2.DT_COMPLEX128: np.float64,
}


def read_tensors(protos: Mapping[str, TensorProto], largest: int) -> dict[str, np.ndarray]:
    """The tensors of a request, by alias.

    Args:
        largest: how many bytes a tensor may have; few values may stand for many.

    Raises:
        ServingError: INVALID_ARGUMENT for what is no tensor. Stricter than TensorFlow Serving: so
            are more values than the shape holds, and values that their dtype does not.
    """
    arrays = {}
    for alias, proto in protos.items():
        try:
            arrays[alias] = _read(proto, largest)
        except (ValueError, TypeError, KeyError, OverflowError):
            raise ServingError(
                grpc.StatusCode.INVALID_ARGUMENT, f"tensor parsing error: {alias}"
            ) from None
    return arrays


def write_tensor(array: np.ndarray) -> TensorProto:
    """`array` with its values one by one, not as `tensor_content`."""
    dtype = tf.dtypes.as_dtype(array.dtype)
    if dtype.as_datatype_enum not in _FIELDS:
        return tf.make_tensor_proto(array)
    proto = TensorProto(
        dtype=dtype.as_datatype_enum, tensor_shape=tf.TensorShape(array.shape).as_proto()
    )
    values = array.ravel()
    if dtype.as_datatype_enum in _PARTS:
        values = values.view(_PARTS[dtype.as_datatype_enum])
    getattr(proto, _FIELDS[dtype.as_datatype_enum]).extend(values.tolist())
    return proto


def _read(proto: TensorProto, largest: int) -> np.ndarray:
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    dtype = tf.dtypes.as_dtype(proto.dtype)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes) or len(sizes) > 64:
        raise ValueError(sizes)
    if math.prod(sizes) * np.dtype(dtype.as_numpy_dtype).itemsize > largest:
        raise ValueError(sizes)
    if dtype == tf.string:
        return _read_strings(proto, sizes)
    # No value at all is right for a tensor without elements, and else stands for zeros.
    return np.asarray(tf.make_ndarray(proto), dtype.as_numpy_dtype)


def _read_strings(proto: TensorProto, sizes: list[int]) -> np.ndarray:
    """Strings, of which the last stands for those that lack; make_ndarray fills up with text."""
    array = np.empty(math.prod(sizes), object)
    values = list(proto.string_val)
    if len(values) > len(array) or proto.tensor_content:
        raise ValueError(len(values))
    array[: len(values)] = values
    array[len(values) :] = values[-1] if values else b""
    return array.reshape(sizes)
