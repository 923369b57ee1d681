"""Results to JSON."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest

from serving.errors import ServingError
from serving.protocol.example_results import Classes
from serving.protocol.rest import json_outputs

ODD = np.float32([[1, np.nan], [np.inf, -np.inf]])


def test_rows_of_one_output() -> None:
    body = json_outputs.write_rows({"y": np.float32([[0.2, 9e6], [3.0040741e-05, 1]])})
    assert body == b'{"predictions":[[0.2,9000000.0],[0.000030040741,1.0]]}'


def test_rows_of_several_outputs() -> None:
    outputs = {"y": ODD, "n": np.int32([1, 2]), "t_bytes": np.array([b"a", b"\xff"], object)}
    assert json_outputs.write_rows(outputs) == (
        b'{"predictions":[{"y":[1.0,NaN],"n":1,"t_bytes":{"b64":"YQ=="}},'
        b'{"y":[Infinity,-Infinity],"n":2,"t_bytes":{"b64":"/w=="}}]}'
    )


def test_outputs_without_elements() -> None:
    half = np.zeros((0, 2), np.float16)
    assert json_outputs.write_rows({"h": half}) == b'{"predictions":[]}'
    assert json_outputs.write_rows({"h": half, "n": np.zeros(0)}) == b'{"predictions":[]}'
    assert json_outputs.write_rows({"z": np.zeros((2, 0), "f4")}) == b'{"predictions":[[],[]]}'
    assert json_outputs.write_columns({"h": half}) == b'{"outputs":[]}'


def test_columns() -> None:
    assert json_outputs.write_columns({"m": np.float32(3)}) == b'{"outputs":3.0}'
    assert json_outputs.write_columns({"m": np.float32(np.nan)}) == b'{"outputs":NaN}'
    assert json_outputs.write_columns({"m": ODD}) == b'{"outputs":[[1.0,NaN],[Infinity,-Infinity]]}'
    outputs = {"a": np.zeros((0, 2), np.float32), "s": np.array([["x"], ["ä"]], object)}
    assert json.loads(json_outputs.write_columns(outputs)) == {
        "outputs": {"a": [], "s": [["x"], ["ä"]]}
    }


@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u4", "u8", "?"])
def test_every_dtype_reads_back(dtype: str) -> None:
    array = np.array([[0, 1], [1, 0]], dtype)[:, ::-1]
    assert json.loads(json_outputs.write_rows({"y": array}))["predictions"] == array.tolist()


def test_text_that_is_no_utf8_comes_as_base64() -> None:
    body = json_outputs.write_rows({"echo": np.array([b"\xff\xd8\xff", b"ok"], object)})
    assert json.loads(body) == {"predictions": [{"b64": "/9j/"}, "ok"]}


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"m": np.float32(1)}, "Tensor name: m has no shape information "),
        (
            {"a": np.zeros((0, 2)), "b": np.zeros(1)},
            "Tensor name: b has inconsistent batch size: 1 expecting: 0",
        ),
        (
            {"a": np.zeros(2), "b": np.zeros(3)},
            "Tensor name: b has inconsistent batch size: 3 expecting: 2",
        ),
        ({"h": np.float16([1])}, "Failed to write JSON value for tensor type: half"),
        (
            {"h": np.array([1], ml_dtypes.bfloat16)},
            "Failed to write JSON value for tensor type: bfloat16",
        ),
    ],
)
def test_outputs_that_are_no_rows(outputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ServingError) as error:
        json_outputs.write_rows(outputs)
    assert error.value.message == message


def test_results() -> None:
    labels, scores = np.array([[b"pos", b"neg"]], object), np.float32([[0.2, np.nan]])
    classes = Classes(labels, scores)
    assert json_outputs.write_classes(classes) == b'{"results":[[["pos",0.2],["neg",NaN]]]}'
    values = np.float32([0.1, np.inf])
    assert json_outputs.write_regressions(values) == b'{"results":[0.1,Infinity]}'
