"""Signatures that classify or regress, and their answers."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from serving.errors import ServingError
from serving.protocol.example_results import (
    Classes,
    classification_outputs,
    read_classes,
    read_values,
    regression_outputs,
)

LABELS = np.array([[b"a", b"\xff"]], object)
SCORES = np.float32([[0.5, 0.25]])


def signature(inputs: str, outputs: str) -> SignatureDef:
    made = SignatureDef()
    for alias in inputs.split():
        made.inputs[alias].name = alias
    for alias in outputs.split():
        made.outputs[alias].name = alias
    return made


def test_outputs_to_ask_for() -> None:
    assert classification_outputs(signature("inputs", "scores classes")) == ["classes", "scores"]
    assert classification_outputs(signature("inputs", "scores other")) == ["scores"]
    assert regression_outputs(signature("inputs", "outputs")) == ["outputs"]


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ("a inputs", "classes", "Expected one input Tensor."),
        ("inputs", "classes scores more", "Expected one or two output Tensors, found 3"),
        (
            "images",
            "classes",
            'No classification inputs found in SignatureDef: inputs {\n  key: "images"\n',
        ),
        (
            "inputs",
            "embedding",
            'Expected classification signature outputs to contain at least one of "classes"',
        ),
    ],
)
def test_what_does_not_classify(inputs: str, outputs: str, message: str) -> None:
    with pytest.raises(ServingError) as error:
        classification_outputs(signature(inputs, outputs))
    assert error.value.message.startswith(message)
    assert error.value.code == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ("", "outputs", "Expected one input Tensor."),
        ("inputs", "a outputs", "Expected one output Tensor."),
        ("images", "outputs", "No regression inputs found"),
        ("inputs", "embedding", "No regression outputs found"),
    ],
)
def test_what_does_not_regress(inputs: str, outputs: str, message: str) -> None:
    with pytest.raises(ServingError) as error:
        regression_outputs(signature(inputs, outputs))
    assert error.value.message.startswith(message)


def test_rows_of_classes() -> None:
    both = read_classes({"classes": LABELS, "scores": SCORES}, 1)
    assert list(both.rows()) == [[("a", 0.5), ("\ufffd", 0.25)]]
    assert list(Classes(LABELS, None).rows()) == [[("a", 0.0), ("\ufffd", 0.0)]]
    assert list(Classes(None, SCORES).rows()) == [[("", 0.5), ("", 0.25)]]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (
            {"classes": LABELS[0]},
            "Expected Tensor shape: [batch_size num_classes] but got [2]",
        ),
        ({"classes": SCORES}, "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
        ({"scores": np.zeros((1, 2))}, "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE"),
        (
            {"scores": np.repeat(SCORES, 2, axis=0)},
            "Expected scores output batch size of 1. Got: 2",
        ),
        (
            {"classes": LABELS, "scores": SCORES[:, :1]},
            "Tensors class and score should match in dim_size(1). Got 2 vs. 1",
        ),
    ],
)
def test_answers_that_are_no_classes(results: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ServingError) as error:
        read_classes(results, 1)
    assert error.value.message == message


def test_values() -> None:
    for shape in ((2,), (2, 1)):
        values = np.float32([1, 2]).reshape(shape)
        np.testing.assert_array_equal(read_values({"outputs": values}, 2), np.float32([1, 2]))
    for values, message in (
        (np.zeros((2, 2), "f4"), r"either \[batch_size\] or \[batch_size, 1\] but got \[2,2\]$"),
        (np.zeros(3, "f4"), r"did not match output batch size: 2 vs\. 3$"),
        (np.zeros(2), r"Expected output Tensor of DT_FLOAT\.  Got: DT_DOUBLE$"),
    ):
        with pytest.raises(ServingError, match=message):
            read_values({"outputs": values}, 2)
