"""Joining rows of requests and cutting answers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from serving.engine import batch_arrays
from serving.errors import ServingError


def _tensor(*shape: int | None) -> meta_graph_pb2.TensorInfo:
    return meta_graph_pb2.TensorInfo(tensor_shape=tf.TensorShape(shape).as_proto())


def test_aliases_of_rows_are_those_with_an_open_first_dimension():
    unknown = meta_graph_pb2.TensorInfo(tensor_shape=tf.TensorShape(None).as_proto())
    tensors = {
        "rows": _tensor(None, 3),
        "open": _tensor(None),
        "unknown": unknown,
        "scalar": _tensor(),
        "two": _tensor(2, None),
    }
    assert batch_arrays.aliases_of_rows(tensors) == {"rows", "open", "unknown"}


def test_rows_of():
    assert batch_arrays.rows_of({"a": np.zeros((4, 2)), "b": np.zeros(4)}) == 4
    assert batch_arrays.rows_of({"a": np.zeros((4, 2)), "b": np.array(1)}) is None


def test_unequal_numbers_of_rows_are_refused_as_tensorflow_serving_does():
    with pytest.raises(ServingError) as caught:
        batch_arrays.rows_of({"a": np.zeros((4, 2)), "b": np.zeros(3)})
    assert caught.value.http_status == 400
    assert caught.value.message == "Batching Run() input tensors must have equal 0th-dimension size"


def test_row_kinds_tell_dtypes_and_shapes_of_a_row_apart():
    def kinds(array: np.ndarray) -> tuple:
        return batch_arrays.row_kinds({"a": array})

    assert kinds(np.zeros((1, 2))) == kinds(np.zeros((5, 2)))
    assert kinds(np.zeros((1, 2))) != kinds(np.zeros((1, 3)))
    assert kinds(np.zeros((1, 2))) != kinds(np.zeros((1, 2), np.float32))
    assert kinds(np.zeros(2)) != kinds(np.zeros((2, 1)))


def test_joins_with_padding_and_splits_again():
    first = {"a": np.array([[1, 2]]), "s": np.array([b"x"], dtype=object)}
    second = {"a": np.array([[3, 4], [5, 6]]), "s": np.array([b"y", b"z"], dtype=object)}
    joined = batch_arrays.join([first, second], padding=2)
    assert joined["a"].tolist() == [[1, 2], [3, 4], [5, 6], [5, 6], [5, 6]]
    assert joined["s"].tolist() == [b"x", b"y", b"z", b"z", b"z"]
    pieces = batch_arrays.split(joined, [1, 2])
    assert [piece["s"].tolist() for piece in pieces] == [[b"x"], [b"y", b"z"]]
    assert pieces[1]["a"].tolist() == second["a"].tolist()
