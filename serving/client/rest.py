"""TensorFlow Serving's REST API as the client speaks it.

Requests and answers after https://www.tensorflow.org/tfx/serving/api_rest, and the routes under
`/rows` of the embedded server. `RestProtocol` makes and reads messages without sending any.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import orjson

from serving.client.types import (
    ModelMetadata,
    Signature,
    TaughtRow,
    TensorSpec,
    VersionStatus,
)

# Half precisions are read as float32: NumPy has no bfloat16, and JSON has decimals anyway.
DTYPES = {
    "DT_FLOAT": np.float32,
    "DT_DOUBLE": np.float64,
    "DT_HALF": np.float32,
    "DT_BFLOAT16": np.float32,
    "DT_INT8": np.int8,
    "DT_INT16": np.int16,
    "DT_INT32": np.int32,
    "DT_INT64": np.int64,
    "DT_UINT8": np.uint8,
    "DT_UINT16": np.uint16,
    "DT_UINT32": np.uint32,
    "DT_UINT64": np.uint64,
    "DT_BOOL": np.bool_,
    "DT_STRING": object,
}


@dataclasses.dataclass(frozen=True)
class RestCall:
    """One request: verb, path with its query, and the body if there is one."""

    method: str
    path: str
    body: bytes | None = None


class RestProtocol:
    """Requests to one model, at its default version, a version or a label."""

    names_outputs = False
    teaches = True

    def __init__(self, model: str, version: int | None, label: str | None) -> None:
        self._model = f"/v1/models/{quote(model, safe='')}"
        self._served = self._model
        if version is not None:
            self._served += f"/versions/{version}"
        elif label is not None:
            self._served += f"/labels/{quote(label, safe='')}"
        self._status = self._model if version is None else self._served

    def predict(self, signature: str, inputs: dict[str, Any]) -> RestCall:
        return RestCall(
            "POST",
            f"{self._served}:predict",
            json_bytes(
                {
                    "signature_name": signature,
                    "inputs": {alias: _json_value(value) for alias, value in inputs.items()},
                }
            ),
        )

    def outputs(self, body: bytes, signature: Signature) -> dict[str, np.ndarray]:
        """The outputs by alias; `signature` names a single one and gives the dtypes."""
        outputs = parsed_json(body)["outputs"]
        if len(signature.outputs) == 1:
            (alias,) = signature.outputs
            outputs = {alias: outputs}
        return {
            alias: _array(value, signature.outputs[alias], alias.endswith("_bytes"))
            for alias, value in outputs.items()
        }

    def metadata(self) -> RestCall:
        return RestCall("GET", f"{self._served}/metadata")

    def read_metadata(self, body: bytes) -> ModelMetadata:
        return metadata_from_json(parsed_json(body))

    def status(self) -> RestCall:
        return RestCall("GET", self._status)

    def read_status(self, body: bytes) -> list[VersionStatus]:
        return statuses_from_json(parsed_json(body))

    def teach(self, images: list[bytes], labels: list[str], sources: list[str | None]) -> RestCall:
        rows = [
            {"image_bytes": _b64(image), "label": label}
            | ({} if source is None else {"source": source})
            for image, label, source in zip(images, labels, sources, strict=True)
        ]
        return RestCall("POST", f"{self._model}/rows", json_bytes({"rows": rows}))

    def read_ids(self, body: bytes) -> list[int]:
        return parsed_json(body)["ids"]

    def list_rows(
        self, after: int | None, limit: int, label: str | None, *, images: bool = False
    ) -> RestCall:
        query = {"after": after, "limit": limit, "label": label}
        given = urlencode({key: value for key, value in query.items() if value is not None})
        return RestCall("GET", f"{self._model}/rows{':export' if images else ''}?{given}")

    def read_rows(self, body: bytes) -> tuple[list[TaughtRow], int | None]:
        """Rows of one page, and after which id the next page starts; None after the last."""
        page = parsed_json(body)
        return [_taught_row(row) for row in page["rows"]], page.get("next_after")

    def row(self, row_id: int) -> RestCall:
        return RestCall("GET", f"{self._model}/rows/{row_id}")

    def read_row(self, body: bytes) -> TaughtRow:
        return _taught_row(parsed_json(body))

    def forget_row(self, row_id: int) -> RestCall:
        return RestCall("DELETE", f"{self._model}/rows/{row_id}")

    def forget_label(self, label: str) -> RestCall:
        return RestCall("DELETE", f"{self._model}/rows?{urlencode({'label': label})}")

    def read_forgotten(self, body: bytes) -> int:
        return parsed_json(body)["deleted"]


def json_bytes(value: Any) -> bytes:
    """JSON text; NumPy arrays become lists."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def parsed_json(body: bytes) -> Any:
    """The value of a JSON text, in which NaN and Infinity may stand."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        # TensorFlow Serving writes strings as they are, UTF-8 or not.
        return json.loads(body.decode("utf-8", "surrogateescape"))


def _b64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode("ascii")}


def _json_value(value: Any) -> Any:
    """An input as orjson can write it: an array, a number, or nested lists of encoded strings."""
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        # Again from the start: NumPy's own strings lose their trailing zero bytes.
        return _encoded_strings(np.asarray(value, object).tolist())
    if array.dtype.kind not in "biuf":
        array = array.astype(np.float32)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        # orjson writes NaN as null; the standard library's text has the tokens that are wanted.
        return orjson.Fragment(json.dumps(array.tolist()))
    return np.ascontiguousarray(array) if array.ndim else array.item()


def _encoded_strings(value: Any) -> Any:
    if isinstance(value, list):
        return [_encoded_strings(item) for item in value]
    return _b64(value) if isinstance(value, bytes) else value


def _array(value: Any, spec: TensorSpec, encoded: bool) -> np.ndarray:
    dtype = DTYPES[spec.dtype]
    array: np.ndarray = np.asarray(_as_bytes(value, encoded) if dtype is object else value, dtype)
    if array.size == 0 and spec.shape and array.ndim < len(spec.shape):
        # JSON cannot tell an empty batch of vectors from one of numbers.
        array = array.reshape([0, *(size or 0 for size in spec.shape[1:])])
    return array


def _as_bytes(value: Any, encoded: bool) -> Any:
    if isinstance(value, list):
        return [_as_bytes(item, encoded) for item in value]
    if isinstance(value, dict) or encoded:
        return base64.b64decode(value["b64"])
    return value.encode("utf-8", "surrogateescape")


def metadata_from_json(document: dict[str, Any]) -> ModelMetadata:
    """The metadata in the JSON form of GetModelMetadataResponse."""

    def specs(tensors: dict[str, Any]) -> dict[str, TensorSpec]:
        return {alias: _tensor_spec(tensor) for alias, tensor in tensors.items()}

    signatures = document["metadata"]["signature_def"]["signature_def"]
    return ModelMetadata(
        name=document["model_spec"]["name"],
        version=int(document["model_spec"].get("version", 0)),
        signatures={
            name: Signature(specs(signature["inputs"]), specs(signature["outputs"]))
            for name, signature in signatures.items()
            # The SavedModel's own bookkeeping; nobody calls it.
            if name != "__saved_model_init_op"
        },
    )


def _tensor_spec(tensor: dict[str, Any]) -> TensorSpec:
    shape = tensor.get("tensor_shape", {})
    if shape.get("unknown_rank"):
        return TensorSpec(tensor["dtype"], None)
    sizes = [int(dimension.get("size", 0)) for dimension in shape.get("dim", [])]
    return TensorSpec(tensor["dtype"], tuple(None if size < 0 else size for size in sizes))


def statuses_from_json(document: dict[str, Any]) -> list[VersionStatus]:
    """The versions in the JSON form of GetModelStatusResponse."""
    return [
        VersionStatus(
            version=int(version.get("version", 0)),
            state=version["state"],
            error_code=version["status"].get("error_code", "OK"),
            error_message=version["status"].get("error_message", ""),
        )
        for version in document["model_version_status"]
    ]


def _taught_row(row: dict[str, Any]) -> TaughtRow:
    image = row.get("image_bytes")
    return TaughtRow(
        id=row["id"],
        label=row["label"],
        source=row["source"],
        time=row["time"],
        image=None if image is None else base64.b64decode(image["b64"]),
    )
