"""Signatures that classify or regress `tf.train.Example`s: what they must be, and their answers.

As TensorFlow Serving's servables/tensorflow/classifier.cc and regressor.cc, messages included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from serving.errors import invalid
from serving.protocol.dtypes import dtype_number


class Classes(NamedTuple):
    """Labels (bytes) and scores (float32), [N, classes]; either may be None, but not both."""

    labels: np.ndarray | None
    scores: np.ndarray | None

    @property
    def size(self) -> int:
        """Classes of all examples."""
        return next(array.size for array in self if array is not None)

    def rows(self) -> Iterator[list[tuple[str, float]]]:
        """Label and score of each class, example by example; "" and 0.0 where there are none."""
        shape = next(array.shape for array in self if array is not None)
        labels: np.ndarray = np.full(shape, b"", object) if self.labels is None else self.labels
        scores: np.ndarray = np.zeros(shape, np.float32) if self.scores is None else self.scores
        for names, numbers in zip(labels.tolist(), scores.tolist(), strict=True):
            texts = [name.decode(errors="replace") for name in names]
            yield list(zip(texts, numbers, strict=True))


def classification_outputs(signature: SignatureDef) -> list[str]:
    """The outputs to ask a classifying signature for.

    Raises:
        ServingError: INVALID_ARGUMENT where it does not classify examples.
    """
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise invalid(f"No classification inputs found in SignatureDef: {signature}")
    outputs = [alias for alias in ("classes", "scores") if alias in signature.outputs]
    if not outputs:
        raise invalid(
            'Expected classification signature outputs to contain at least one of "classes" or '
            f'"scores". Signature was: {signature}'
        )
    return outputs


def regression_outputs(signature: SignatureDef) -> list[str]:
    """The outputs to ask a regressing signature for.

    Raises:
        ServingError: INVALID_ARGUMENT where it does not regress examples.
    """
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if "inputs" not in signature.inputs:
        raise invalid(f"No regression inputs found in SignatureDef: {signature}")
    if "outputs" not in signature.outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {signature}")
    return ["outputs"]


def read_classes(results: Mapping[str, np.ndarray], examples: int) -> Classes:
    """What a classifying signature answered for so many examples.

    Raises:
        ServingError: INVALID_ARGUMENT where it is not a row of classes for each.
    """
    for alias, kind, dtype in (("classes", "O", "DT_STRING"), ("scores", "f", "DT_FLOAT")):
        array = results.get(alias)
        if array is None:
            continue
        if array.ndim != 2:
            raise invalid(
                f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}"
            )
        if array.dtype.kind != kind or (kind == "f" and array.dtype != np.float32):
            raise invalid(f"Expected {alias} Tensor of {dtype}. Got: {_dtype(array)}")
        if len(array) != examples:
            raise invalid(f"Expected {alias} output batch size of {examples}. Got: {len(array)}")
    classes = Classes(results.get("classes"), results.get("scores"))
    widths = [array.shape[1] for array in classes if array is not None]
    if widths[0] != widths[-1]:
        raise invalid(
            f"Tensors class and score should match in dim_size(1). Got {widths[0]} vs. {widths[-1]}"
        )
    return classes


def read_values(results: Mapping[str, np.ndarray], examples: int) -> np.ndarray:
    """What a regressing signature answered for so many examples: float32 [examples].

    Raises:
        ServingError: INVALID_ARGUMENT where it is not a float32 for each.
    """
    values = results["outputs"]
    if values.ndim != 1 and (values.ndim != 2 or values.shape[1] != 1):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{_shape(values)}"
        )
    if len(values) != examples:
        raise invalid(
            f"Input batch size did not match output batch size: {examples} vs. {len(values)}"
        )
    if values.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_dtype(values)}")
    return values.reshape(-1)


def _shape(array: np.ndarray) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _dtype(array: np.ndarray) -> str:
    return types_pb2.DataType.Name(dtype_number(array.dtype))
