"""Results to JSON: rows (`predictions`), columns (`outputs`) and `results`.

Numbers are the shortest text that reads back as the same float32; NaN and infinities are the
tokens `NaN`, `Infinity` and `-Infinity`, as TensorFlow Serving writes them.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import orjson

from serving.errors import ServingError, invalid
from serving.protocol.dtypes import NUMPY_TYPES, dtype_name, dtype_number
from serving.protocol.example_results import Classes

# Numbers that are written at once: orjson lets nothing else run meanwhile.
_PIECE = 1 << 18


def nearest(
    k: int | None, signature_name: str, outputs: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The first k classes or neighbours of each row; all of them where k is None.

    Raises:
        ServingError: INVALID_ARGUMENT for more than there are, or outputs that are neither.
    """
    if k is None:
        return outputs
    if not signature_name.startswith(("neighbours", "classify")):
        raise invalid(f"k belongs to neighbours and classify. Received: {signature_name}")
    most = min((array.shape[1] for array in outputs.values() if array.ndim == 2), default=0)
    if not 1 <= k <= most:
        raise invalid(f"k is 1 to {most}, as many as the export gives. Received: {k}")
    return {name: array[:, :k] for name, array in outputs.items()}


def write_rows(outputs: Mapping[str, np.ndarray]) -> bytes:
    """`{"predictions": [...]}`: a value for each row, or an object where outputs are many.

    Raises:
        ServingError: INVALID_ARGUMENT for outputs that are no batch of one and the same size, and
            for dtypes that JSON has no values for.
    """
    batch = None
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if batch not in (None, len(array)):
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {batch}"
            )
        batch = len(array)
    if len(outputs) == 1:
        return _dump({"predictions": _values(*next(iter(outputs.items())))})
    rows = [
        orjson.Fragment(_dump({name: _values(name, value) for name, value in zip(outputs, row)}))
        for row in zip(*outputs.values(), strict=True)
    ]
    return _dump({"predictions": rows})


def write_columns(outputs: Mapping[str, np.ndarray]) -> bytes:
    """`{"outputs": ...}`: the tensor, or an object of tensors where outputs are many.

    Raises:
        ServingError: INVALID_ARGUMENT for dtypes that JSON has no values for.
    """
    columns = {name: _values(name, array) for name, array in outputs.items()}
    return _dump({"outputs": columns if len(columns) > 1 else next(iter(columns.values()))})


def write_classes(classes: Classes) -> bytes:
    """`{"results": [[[label, score], ...], ...]}` of each example; scores are float32."""
    rows = classes.rows()
    return _dump({"results": [[[label, _number(score)] for label, score in one] for one in rows]})


def write_regressions(values: np.ndarray) -> bytes:
    """`{"results": [value, ...]}` of each example's float32."""
    return _dump({"results": _numbers(values)})


def write_results(results: Iterable[Mapping[str, np.ndarray] | ServingError]) -> bytes:
    """`{"results": [...]}`: of each image the outputs, of one row each, or its error."""
    written = [
        {"error": result.message}
        if isinstance(result, ServingError)
        else {name: _values(name, array[0]) for name, array in result.items()}
        for result in results
    ]
    return _dump({"results": written})


def _values(name: str, array: Any) -> Any:
    """An output as something that orjson writes."""
    array = np.asarray(array)
    if not array.size:
        return np.empty(array.shape, np.int8).tolist()
    if array.dtype.kind in "OS":
        return _strings(array.tolist(), as_bytes=name.endswith("_bytes"))
    if array.dtype.type not in NUMPY_TYPES.values():
        dtype = dtype_name(dtype_number(array.dtype))
        raise invalid(f"Failed to write JSON value for tensor type: {dtype}")
    return _numbers(array)


def _numbers(array: np.ndarray) -> Any:
    if array.size > _PIECE:
        return orjson.Fragment(b"[" + b",".join(_pieces(array)) + b"]")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return _constants(array)
    return np.ascontiguousarray(array) if array.ndim else array[()]


def _pieces(array: np.ndarray) -> Iterator[bytes]:
    """The JSON of a large array's elements, some at a time."""
    step = _PIECE * len(array) // array.size
    if step < 2:
        yield from (_dump(_numbers(row)) for row in array)
        return
    for start in range(0, len(array), step):
        yield _dump(_numbers(array[start : start + step]))[1:-1]


def _number(value: float) -> Any:
    return _numbers(np.asarray(np.float32(value)))


def _constants(array: np.ndarray) -> orjson.Fragment:
    """The JSON of floats that are not all finite, which orjson writes as `null`."""
    pieces = _dump(np.ascontiguousarray(array) if array.ndim else array[()]).split(b"null")
    odd = array[~np.isfinite(array)]
    words = [_constant(value) for value in odd]
    return orjson.Fragment(
        b"".join(piece + word for piece, word in zip(pieces, [*words, b""], strict=True))
    )


def _constant(value: np.floating) -> bytes:
    if np.isnan(value):
        return b"NaN"
    return b"Infinity" if value > 0 else b"-Infinity"


def _strings(value: Any, as_bytes: bool) -> Any:
    """Nested lists of strings as JSON has them: text, or base64 of bytes."""
    if isinstance(value, list):
        return [_strings(element, as_bytes) for element in value]
    if isinstance(value, str):
        value = value.encode()
    if not as_bytes:
        try:
            return value.decode()
        except UnicodeDecodeError:
            # JSON is UTF-8, so bytes that are not come as those of a `_bytes` output do.
            pass
    return {"b64": base64.b64encode(value).decode()}


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
