"""TensorProto to arrays and back, as TensorFlow Serving reads and writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto

from serving.errors import ServingError
from serving.protocol.dtypes import PROTO_TYPES, dtype_number
from serving.protocol.request_checks import check_strings

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
_PIECE = 1 << 14


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


def write_tensor(array: np.ndarray, proto: TensorProto) -> None:
    """Fills a message with an array, its values one by one, not as `tensor_content`.

    Raises:
        ServingError: INVALID_ARGUMENT for dtypes that have no values in a TensorProto.
    """
    proto.dtype = dtype_number(array.dtype)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    values = array.ravel()
    if proto.dtype in _PARTS:
        values = values.view(_PARTS[proto.dtype])
    field = getattr(proto, _FIELDS[proto.dtype])
    # A piece at a time: nothing else runs meanwhile.
    for start in range(0, len(values), _PIECE):
        field.extend(values[start : start + _PIECE].tolist())


def _read(proto: TensorProto, largest: int) -> np.ndarray:
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    dtype = np.dtype(PROTO_TYPES[proto.dtype])
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes) or len(sizes) > 64:
        raise ValueError(sizes)
    count = math.prod(sizes)
    if count * dtype.itemsize > largest:
        raise ValueError(sizes)
    if proto.dtype == types_pb2.DT_STRING:
        return _read_strings(proto, sizes)
    if proto.tensor_content:
        return np.frombuffer(proto.tensor_content, dtype).reshape(sizes)
    part = np.dtype(_PARTS.get(proto.dtype, dtype))
    values = np.array(list(getattr(proto, _FIELDS[proto.dtype])), part).view(dtype)
    if len(values) > count:
        raise ValueError(len(values))
    # The last value stands for those that lack, and no value at all for zeros.
    filled = np.full(count, values[-1] if len(values) else 0, dtype)
    filled[: len(values)] = values
    return filled.reshape(sizes)


def _read_strings(proto: TensorProto, sizes: list[int]) -> np.ndarray:
    """Strings, of which the last stands for those that lack."""
    check_strings(math.prod(sizes))
    array = np.empty(math.prod(sizes), object)
    values = list(proto.string_val)
    if len(values) > len(array) or proto.tensor_content:
        raise ValueError(len(values))
    array[: len(values)] = values
    array[len(values) :] = values[-1] if values else b""
    return array.reshape(sizes)
