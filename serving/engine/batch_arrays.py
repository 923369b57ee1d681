"""Rows of several requests as one batch, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from serving.errors import ServingError

Arrays = Mapping[str, np.ndarray]


def aliases_of_rows(tensors: Mapping[str, meta_graph_pb2.TensorInfo]) -> set[str]:
    """Those of a signature's inputs or outputs that may have any number of rows.

    An unknown rank counts as such; whether it is one, the answers tell.
    """
    return {
        alias
        for alias, tensor in tensors.items()
        if tensor.tensor_shape.unknown_rank
        or (tensor.tensor_shape.dim and tensor.tensor_shape.dim[0].size == -1)
    }


def rows_of(inputs: Arrays) -> int | None:
    """The number of rows that all inputs have; None if one of them is a scalar.

    Raises ServingError: INVALID_ARGUMENT if the numbers differ, in the words of TensorFlow
    Serving's batching (its batching/batching_util and TensorFlow's batching_session).
    """
    sizes = {array.shape[0] if array.ndim else None for array in inputs.values()}
    if None in sizes:
        return None
    if len(sizes) > 1:
        raise ServingError(
            grpc.StatusCode.INVALID_ARGUMENT,
            "Batching Run() input tensors must have equal 0th-dimension size",
        )
    return sizes.pop()


def row_kinds(inputs: Arrays) -> tuple:
    """What requests must have in common to be joined: aliases, dtypes and shapes of a row."""
    return tuple(sorted((alias, a.dtype.str, a.shape[1:]) for alias, a in inputs.items()))


def join(requests: Sequence[Arrays], padding: int) -> dict[str, np.ndarray]:
    """The rows of all requests in one, followed by `padding` copies of the last one."""
    joined = {}
    for alias, last in requests[-1].items():
        parts = [request[alias] for request in requests]
        if padding:
            parts.append(np.repeat(last[-1:], padding, axis=0))
        joined[alias] = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return joined


def split(arrays: Arrays, sizes: Sequence[int]) -> list[dict[str, np.ndarray]]:
    """The arrays cut into pieces of so many rows; rows beyond their sum are left out."""
    pieces, start = [], 0
    for size in sizes:
        pieces.append({alias: array[start : start + size] for alias, array in arrays.items()})
        start += size
    return pieces
