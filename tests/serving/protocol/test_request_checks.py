"""Inputs and outputs of a request against a signature."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tensorflow.core.framework import types_pb2 as types
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from serving.errors import ServingError
from serving.protocol.request_checks import Limits, check_inputs, check_outputs


def signature(**inputs: tuple[int, list[int] | None]) -> SignatureDef:
    made = SignatureDef()
    for alias, (dtype, shape) in inputs.items():
        info = made.inputs[alias]
        info.name, info.dtype = f"{alias}:0", dtype
        info.tensor_shape.unknown_rank = shape is None
        for size in shape or []:
            info.tensor_shape.dim.add(size=size)
    made.outputs["y"].name = "y:0"
    return made


def refusal(made: SignatureDef, limits: Limits = Limits(), **inputs: np.ndarray) -> str:  # noqa: B008
    with pytest.raises(ServingError) as error:
        check_inputs("s", made, inputs, limits)
    assert error.value.code.name == "INVALID_ARGUMENT"
    return error.value.message


@pytest.mark.parametrize(
    ("expected", "shape"), [(None, (2, 3)), ([-1, 3], (0, 3)), ([], ()), ([-1, -1], (1, 1))]
)
def test_shapes_that_fit(expected: list[int] | None, shape: tuple[int, ...]) -> None:
    made = signature(x=(types.DT_FLOAT, expected))
    check_inputs("s", made, {"x": np.zeros(shape, np.float32)}, Limits())


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 3, 1), ()])
def test_shapes_that_do_not(shape: tuple[int, ...]) -> None:
    message = refusal(signature(x=(types.DT_FLOAT, [-1, 3])), x=np.zeros(shape, np.float32))
    assert message.startswith("Input x of signature s takes a tensor of shape [?,3]. Received: [")


def test_dtypes() -> None:
    made = signature(a=(types.DT_INT32, None), b=(types.DT_STRING, None))
    wrong = {"a": np.int32([1]), "b": np.float64([1])}
    assert refusal(made, **wrong) == "Expects arg[1] to be string but double is provided"


def test_missing_inputs_may_have_defaults() -> None:
    made = signature(a=(types.DT_FLOAT, None), b=(types.DT_FLOAT, None))
    a = np.float32([1])
    assert "Missing but required: {b}" in refusal(made, a=a)
    made.defaults["b"].dtype = types.DT_FLOAT
    check_inputs("s", made, {"a": a}, Limits())
    assert "not found in request and no default value provided" in refusal(made, b=a)
    assert "Inputs contains invalid name" in refusal(made, a=a, c=a)


def test_rows_are_limited() -> None:
    made = signature(x=(types.DT_FLOAT, None))
    assert "at most 3 rows" in refusal(made, Limits(rows=3), x=np.zeros(4, np.float32))


def test_pixels_are_limited_without_decoding() -> None:
    file = io.BytesIO()
    Image.new("1", (2000, 1001)).save(file, "PNG")
    images = np.array([b"no image", file.getvalue()], object)
    made = signature(image=(types.DT_STRING, [-1]))
    check_inputs("s", made, {"image": images}, Limits(pixels=2_002_000))
    assert refusal(made, Limits(pixels=2_001_999), image=images) == (
        "Row 1: An image may have at most 2001999 pixels. Received: 2000 x 1001"
    )


def test_outputs() -> None:
    made = signature()
    check_outputs(made, ["y"])
    with pytest.raises(ServingError, match=r"not found in signature: z Outputs .* set \{y\}"):
        check_outputs(made, ["z"])
