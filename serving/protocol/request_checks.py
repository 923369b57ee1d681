"""The inputs and outputs of a request against the signature that it names.

Messages about names follow TensorFlow Serving's servables/tensorflow/predict_util.cc. Shapes are
checked here, too; TensorFlow Serving leaves them to the graph, which may answer nonsense.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

from serving.errors import invalid
from serving.protocol import image_size
from serving.protocol.dtypes import dtype_name, dtype_number

DEFAULT_SIGNATURE = "serving_default"
# Pixels a row, on average, from which on a request does not run with others: a batch of 32 rows takes
# as long to decode as two images of the largest size.
SLOW_PIXELS = 1_000_000
# Strings that a request may hold: more than so many Python objects cost the event loop too long.
MOST_STRINGS = 1 << 18


class Limits(NamedTuple):
    """How much one request may hold: rows of an input, pixels of an image and of all images."""

    rows: int = 16_384
    pixels: int = 16_000_000
    total_pixels: int = 64_000_000


class Question(NamedTuple):
    """What a predict request asks, checked: a signature, its inputs, and which outputs (all: none).

    `slow` says that decoding the images takes long.
    """

    signature_name: str
    inputs: Mapping[str, np.ndarray]
    outputs: tuple[str, ...]
    slow: bool


def checked(
    name: str,
    signature: SignatureDef,
    inputs: Mapping[str, np.ndarray],
    limits: Limits,
    output_filter: Sequence[str] = (),
) -> Question:
    """The question that inputs and outputs put to a signature.

    Raises:
        ServingError: as of `check_inputs` and `check_outputs`.
    """
    pixels = check_inputs(name, signature, inputs, limits)
    check_outputs(signature, output_filter)
    rows = max((len(array) for array in inputs.values() if array.ndim), default=1)
    return Question(name, inputs, tuple(output_filter), pixels > SLOW_PIXELS * rows)


def check_strings(count: int) -> None:
    """Refuses more strings, or examples, than a request may hold.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    if count > MOST_STRINGS:
        raise invalid(f"A request may hold at most {MOST_STRINGS} strings. Received: {count}")


def check_inputs(
    name: str, signature: SignatureDef, inputs: Mapping[str, np.ndarray], limits: Limits
) -> int:
    """Refuses inputs that are not those of the signature called `name`, or too large.

    Inputs with a default may be missing. Strings that start as an image are refused where it costs
    too much to decode.

    Returns:
        The pixels of all images.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    _check_aliases(signature, inputs)
    # A graph's feeds are numbered in the order of their names.
    pixels = 0
    feeds = sorted(inputs, key=lambda alias: signature.inputs[alias].name)
    for i, alias in enumerate(feeds):
        array, info = inputs[alias], signature.inputs[alias]
        dtype = dtype_number(array.dtype)
        if dtype != info.dtype:
            raise invalid(
                f"Expects arg[{i}] to be {dtype_name(info.dtype)} but {dtype_name(dtype)} is "
                "provided"
            )
        _check_shape(name, alias, info, array.shape)
        if array.ndim and len(array) > limits.rows:
            raise invalid(
                f"Input {alias} of signature {name} takes at most {limits.rows} rows a request. "
                f"Received: {len(array)}"
            )
        if info.dtype == types_pb2.DT_STRING:
            pixels += _check_images(array, limits)
    return check_total(pixels, limits)


def check_total(pixels: int, limits: Limits) -> int:
    """Returns the pixels of all images of a request.

    Raises:
        ServingError: INVALID_ARGUMENT where they are too many.
    """
    if pixels > limits.total_pixels:
        raise invalid(
            f"The images of a request may have at most {limits.total_pixels} pixels together. "
            f"Received: {pixels}. Send them in several requests"
        )
    return pixels


def _check_aliases(signature: SignatureDef, inputs: Mapping[str, np.ndarray]) -> None:
    known, given = set(signature.inputs), set(inputs)
    required = known - set(signature.defaults)
    if len(given) > len(known) or len(given) < len(required):
        raise invalid(
            f"input size does not match signature: {len(given)}!={len(known)} "
            f"len({_names(given)}) != len({_names(known)}). Sent extra: {_names(given - known)}. "
            f"Missing but required: {_names(required - given)}."
        )
    for alias in sorted(required - given):
        raise invalid(
            f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found "
            "in request and no default value provided. Inputs expected to be in the request "
            f"{_names(given)}, or default input alias set: {','.join(sorted(signature.defaults))}"
        )
    if given - known:
        raise invalid(
            "Inputs contains invalid name. Used request inputs: "
            f"{','.join(sorted(given & known))}, request input: {','.join(sorted(given))}"
        )


def check_outputs(signature: SignatureDef, output_filter: Sequence[str]) -> None:
    """Refuses names that are no outputs, and names that come twice.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    for i, alias in enumerate(output_filter):
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {_names(signature.outputs)}."
            )
        if alias in output_filter[:i]:
            raise invalid(f"duplicate output tensor alias: {alias}")


def _check_shape(name: str, alias: str, info: TensorInfo, shape: tuple[int, ...]) -> None:
    if info.tensor_shape.unknown_rank:
        return
    expected = [dim.size for dim in info.tensor_shape.dim]
    if len(expected) != len(shape) or any(
        size not in (-1, received) for size, received in zip(expected, shape, strict=True)
    ):
        wanted = ",".join("?" if size < 0 else str(size) for size in expected)
        raise invalid(
            f"Input {alias} of signature {name} takes a tensor of shape [{wanted}]. "
            f"Received: [{','.join(map(str, shape))}]"
        )


def _check_images(array: np.ndarray, limits: Limits) -> int:
    pixels, width = 0, int(np.prod(array.shape[1:]))
    for i, value in enumerate(array.flat):
        size = image_size.declared(value)
        if size is not None:
            if problem := size.problem(limits.pixels):
                raise invalid(f"Row {i // width}: {problem}")
            pixels += size.pixels
    return pixels


def _names(aliases: Iterable[str]) -> str:
    return f"{{{','.join(sorted(aliases))}}}"
