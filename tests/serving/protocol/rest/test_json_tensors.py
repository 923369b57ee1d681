"""Predict requests in JSON to tensors, and what is said of those that do not convert."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
from tensorflow.core.framework import types_pb2 as types
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo

from serving.errors import ServingError
from serving.protocol.rest.json_tensors import read_inputs, read_signature_name


def infos(**dtypes: int) -> dict[str, TensorInfo]:
    return {name: TensorInfo(dtype=dtype) for name, dtype in dtypes.items()}


ONE = infos(x=types.DT_FLOAT)
TWO = infos(a=types.DT_FLOAT, b=types.DT_INT32)
STRING = infos(s=types.DT_STRING)


def failure(document: Any, inputs: dict[str, TensorInfo]) -> ServingError:
    with pytest.raises(ServingError) as error:
        read_inputs(document, inputs)
    return error.value


@pytest.mark.parametrize(
    ("dtype", "values", "numpy_type"),
    [
        (types.DT_FLOAT, [[1, 2.5], [float("inf"), 1e300]], np.float32),
        (types.DT_DOUBLE, [1, 1e300], np.float64),
        (types.DT_INT32, [[[1]], [[-(2**31)]]], np.int32),
        (types.DT_INT16, [-(2**15)], np.int16),
        (types.DT_INT8, [127], np.int8),
        (types.DT_UINT8, [0, 255], np.uint8),
        (types.DT_INT64, [2**63 - 1], np.int64),
        (types.DT_UINT32, [2**32 - 1], np.uint32),
        (types.DT_UINT64, [2**64 - 1], np.uint64),
        (types.DT_BOOL, [True, False], np.bool_),
    ],
)
def test_dtypes_in_rows_and_columns(dtype: int, values: list[Any], numpy_type: type) -> None:
    with np.errstate(over="ignore"):
        expected = np.array(values).astype(numpy_type)
    for document in ({"instances": values}, {"inputs": values}, {"inputs": {"x": values}}):
        arrays, in_rows = read_inputs(document, infos(x=dtype))
        assert in_rows == ("instances" in document)
        assert arrays["x"].dtype == numpy_type
        np.testing.assert_array_equal(arrays["x"], expected)


def test_rows_of_objects_are_stacked_by_name() -> None:
    rows = [{"a": [1, 2], "b": 3}, {"b": 4, "a": [5, 6]}]
    arrays, _ = read_inputs({"instances": rows}, TWO)
    np.testing.assert_array_equal(arrays["a"], np.float32([[1, 2], [5, 6]]))
    np.testing.assert_array_equal(arrays["b"], np.int32([3, 4]))


def test_strings_and_base64_mix() -> None:
    values = ["bär", {"b64": "/9j/"}, {"b64": "aGVs\nbG8"}, {"b64": "aGVsbG8="}, {"b64": ""}]
    arrays, _ = read_inputs({"instances": values}, STRING)
    assert arrays["s"].tolist() == ["bär".encode(), b"\xff\xd8\xff", b"hello", b"hello", b""]
    arrays, _ = read_inputs({"inputs": {"b64": "aGVsbG8="}}, STRING)
    assert arrays["s"].shape == ()
    assert arrays["s"][()] == b"hello"


def test_empty_lists_have_a_shape() -> None:
    assert read_inputs({"inputs": {"x": []}}, ONE)[0]["x"].shape == (0,)
    assert read_inputs({"instances": [[], []]}, ONE)[0]["x"].shape == (2, 0)
    # Without a value there is none that JSON cannot hold.
    assert read_inputs({"inputs": []}, infos(x=types.DT_HALF))[0]["x"].dtype == np.float16


@pytest.mark.parametrize("text", ["_-8=", "a", "aGVsbG8==", "aG=s", "a GVs!", "ä"])
def test_what_is_no_base64(text: str) -> None:
    assert failure({"inputs": [{"b64": text}]}, STRING).message == "Unable to base64 decode"


ROWS = "of 'instances' list. Error: INVALID_ARGUMENT:"


@pytest.mark.parametrize(
    ("rows", "inputs", "message"),
    [
        (["a"], ONE, f'element: 0 {ROWS} JSON Value: "a" Type: String is not of expected type: '),
        ([1, True], ONE, f"element: 1 {ROWS} JSON Value: true Type: True is not of expected type"),
        ([[1, 2], [3, [4]]], ONE, f"element: 1 {ROWS} JSON Value: [4] Type: Array is not of"),
        ([[[1], 2]], ONE, f"element: 0 {ROWS} JSON Value: [[1], 2] has lists of unequal size"),
        ([[1, 2], [3]], ONE, f"element: 1 {ROWS} Expecting shape [2] but got: [1]"),
        ([[[1, 2]], [[1], [2]]], ONE, f"element: 1 {ROWS} Expecting shape [1, 2] but got: [2, 1]"),
        ([{"x": 1}, {"x": "a"}], ONE, f'element: 1 key: x {ROWS} JSON Value: "a"'),
        ([{"a": 1, "b": 2}, {"a": 1}], TWO, "element: 1 of 'instances' list. JSON object: {"),
        ([{"a": 1, "b": 2**31}], TWO, f"element: 0 key: b {ROWS} JSON Value: 2147483648 Type: N"),
        ([{"b64": {}}], STRING, f"element: 0 key: b64 {ROWS} JSON object: does not have named"),
        ([{"s": {"b64": 1}}], STRING, f'element: 0 key: s {ROWS} JSON Value: {{"b64": 1}}'),
        ([256], infos(x=types.DT_UINT8), f"element: 0 {ROWS} JSON Value: 256 Type: Number"),
        ([1.0], infos(x=types.DT_HALF), "Error: UNIMPLEMENTED: Conversion of JSON Value: 1.0 to"),
        ([[1], {"x": 1}], ONE, "Expecting value/list but got object at item 1 of input list"),
        ([{"x": 1}, [1]], ONE, "Expecting object but got list at item 1 of input list"),
        ([[1]], TWO, "instances is a plain list, but expecting list of objects"),
    ],
)
def test_rows_that_do_not_convert(
    rows: list[Any], inputs: dict[str, TensorInfo], message: str
) -> None:
    error = failure({"instances": rows}, inputs)
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert message in error.message


@pytest.mark.parametrize(
    ("document", "code", "message"),
    [
        ({}, "INVALID_ARGUMENT", "Missing 'inputs' or 'instances' key"),
        ({"inputs": {"a": 1}}, "INVALID_ARGUMENT", "Missing named input: b in 'inputs' object."),
        ({"inputs": [1]}, "INVALID_ARGUMENT", "inputs is a plain value/list, but expecting an obj"),
        ({"inputs": {"a": [[1], [2, 3]], "b": 1}}, "INVALID_ARGUMENT", "lists of unequal size"),
    ],
)
def test_columns_that_do_not_convert(document: Any, code: str, message: str) -> None:
    error = failure(document, TWO)
    assert error.code.name == code
    assert message in error.message


def test_nesting_deeper_than_any_tensor_is_refused() -> None:
    value: Any = 1
    for _ in range(100):
        value = [value]
    assert "64 levels" in failure({"inputs": value}, ONE).message
    assert "64 levels" in failure({"instances": value}, ONE).message


def test_long_values_are_cut_in_messages() -> None:
    assert len(failure({"inputs": "x" * 100_000}, ONE).message) < 5000


def test_signature_name() -> None:
    assert read_signature_name({}) == ""
    assert read_signature_name({"signature_name": "embed"}) == "embed"
    with pytest.raises(ServingError, match="Is not object"):
        read_signature_name([1.0])
    with pytest.raises(ServingError, match="key must be a string value"):
        read_signature_name({"signature_name": None})
