"""Loading a version and finding out whether it can serve, before it does."""

from __future__ import annotations

import math
import pathlib

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from serving.engine import warm_up
from serving.engine.servable import Servable
from serving.engine.version_folder import contents_of
from serving.errors import ServingError

# Larger inputs than this are not made up, so that a check needs no more memory than serving does.
MOST_ELEMENTS = 2**24
# What a sound model may well answer to made-up values, such as a string that is no image.
_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.DATA_LOSS,
}


def load_checked(path: pathlib.Path, intra_op_threads: int, inter_op_threads: int) -> Servable:
    """The SavedModel in `path`, loaded and tried.

    All variables must hold values, the warm-up requests must succeed, and every signature that
    they leave out runs once on one row of zeros; it may find fault with the zeros, not more.

    Raises ServingError, after freeing what was loaded, if anything is wrong with it: ABORTED if
    the folder changed meanwhile.
    """
    contents = contents_of(path)
    try:
        servable = Servable(
            path, intra_op_threads=intra_op_threads, inter_op_threads=inter_op_threads
        )
        try:
            _check(servable)
            if contents_of(path) != contents:
                raise ServingError(
                    grpc.StatusCode.ABORTED, f"The folder {path} changed while it was loaded"
                )
        except BaseException:
            servable.close()
            raise
    except ServingError:
        raise
    except Exception as error:  # a damaged graph can make TensorFlow raise anything
        raise ServingError(
            grpc.StatusCode.INTERNAL,
            f"The SavedModel in {path} cannot be loaded: {type(error).__name__}: {error}",
        ) from error
    return servable


def _check(servable: Servable) -> None:
    if not servable.signatures:
        raise ServingError(
            grpc.StatusCode.NOT_FOUND, f"The SavedModel in {servable.path} has no signature"
        )
    missing = servable.uninitialized_variables()
    if missing:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"{len(missing)} variables of the SavedModel in {servable.path} have no values; is "
            f"its folder `variables` there? The first one: {missing[0]}",
        )
    tried = warm_up.replay(servable)
    for name in servable.signatures.keys() - tried:
        _try(servable, name)


def _try(servable: Servable, name: str) -> None:
    inputs = {}
    for alias, tensor in servable.signatures[name].inputs.items():
        array = _zeros(tensor)
        if array is None:
            return
        inputs[alias] = array
    try:
        servable.run(name, inputs)
    except ServingError as error:
        if error.code not in _REFUSALS:
            raise ServingError(
                error.code, f"The signature {name} does not run: {error.message}"
            ) from error


def _zeros(tensor: meta_graph_pb2.TensorInfo) -> np.ndarray | None:
    """One row of zeros or empty strings; None for what cannot be made up."""
    dtype = tf.as_dtype(tensor.dtype)
    if tensor.WhichOneof("encoding") != "name" or dtype in (tf.resource, tf.variant):
        return None
    shape = [1] if tensor.tensor_shape.unknown_rank else []
    shape += [1 if dim.size == -1 else dim.size for dim in tensor.tensor_shape.dim]
    if math.prod(shape) > MOST_ELEMENTS:
        return None
    if dtype == tf.string:
        return np.full(shape, b"", dtype=object)
    return np.zeros(shape, dtype.as_numpy_dtype)
