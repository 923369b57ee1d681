"""REST messages of the client: what it writes, and what it makes of answers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from serving.client.rest import RestProtocol
from serving.client.types import Signature, TensorSpec


def body_of(inputs: dict) -> dict:
    return json.loads(RestProtocol("m", None, None).predict("s", inputs).body)["inputs"]


@pytest.mark.parametrize(
    ("version", "label", "path"),
    [
        (None, None, "/v1/models/a%20b%2Fc"),
        (3, None, "/v1/models/a%20b%2Fc/versions/3"),
        (None, "stable", "/v1/models/a%20b%2Fc/labels/stable"),
    ],
)
def test_paths_name_the_model_and_its_version(
    version: int | None, label: str | None, path: str
) -> None:
    protocol = RestProtocol("a b/c", version, label)
    assert protocol.predict("s", {}).path == f"{path}:predict"
    assert protocol.metadata().path == f"{path}/metadata"


def test_inputs_are_written_in_columns() -> None:
    inputs = {
        "x": np.array([[1.5, 2.0]], np.float32),
        "n": np.int64(3),
        "image_bytes": [b"\0\1\0", b""],
        "text": ["a", "b"],
        "plain": [[1, 2], [3, 4]],
    }
    assert body_of(inputs) == {
        "x": [[1.5, 2.0]],
        "n": 3,
        "image_bytes": [{"b64": "AAEA"}, {"b64": ""}],
        "text": ["a", "b"],
        "plain": [[1, 2], [3, 4]],
    }


def test_not_a_number_and_infinity_are_written_as_tokens() -> None:
    body = RestProtocol("m", None, None).predict("s", {"x": [np.nan, np.inf, -np.inf]}).body
    assert b"[NaN, Infinity, -Infinity]" in body


def test_strings_that_are_not_utf8_are_read() -> None:
    signature = Signature({}, {"text": TensorSpec("DT_STRING", (None,))})
    read = RestProtocol("m", None, None).outputs
    for body in (b'{"outputs": ["a\xffb", "c"]}', b'{"outputs": [{"b64": "Yf9i"}, "c"]}'):
        assert read(body, signature)["text"].tolist() == [b"a\xffb", b"c"]


def test_array_in_another_order_is_written_as_it_is_indexed() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert body_of({"x": array})["x"] == [[0, 3], [1, 4], [2, 5]]


def test_single_output_gets_its_name_and_its_dtype() -> None:
    signature = Signature({}, {"ids": TensorSpec("DT_INT64", (None, 2))})
    outputs = RestProtocol("m", None, None).outputs(b'{"outputs": [[1, 2]]}', signature)
    assert outputs["ids"].dtype == np.int64
    np.testing.assert_array_equal(outputs["ids"], [[1, 2]])


def test_several_outputs_of_all_kinds() -> None:
    signature = Signature(
        {},
        {
            "score": TensorSpec("DT_FLOAT", (None,)),
            "name": TensorSpec("DT_STRING", (None,)),
            "raw_bytes": TensorSpec("DT_STRING", (None,)),
        },
    )
    body = (
        '{"outputs": {"score": [NaN, -Infinity], "name": ["ä", "b"],'
        ' "raw_bytes": [{"b64": "AAE="}, {"b64": ""}]}}'
    ).encode()
    outputs = RestProtocol("m", None, None).outputs(body, signature)
    np.testing.assert_array_equal(outputs["score"], np.array([np.nan, -np.inf], np.float32))
    assert outputs["name"].tolist() == ["ä".encode(), b"b"]
    assert outputs["raw_bytes"].tolist() == [b"\0\1", b""]


def test_metadata_reads_unknown_shapes() -> None:
    tensor = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [], "unknown_rank": True}, "name": "x:0"}
    sized = {
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}, {"size": "4", "name": ""}]},
    }
    signatures = {
        "s": {"inputs": {"x": tensor}, "outputs": {"y": sized}},
        "__saved_model_init_op": {"inputs": {}, "outputs": {}},
    }
    document = {
        "model_spec": {"name": "m", "version": "2"},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }
    metadata = RestProtocol("m", None, None).read_metadata(json.dumps(document).encode())
    assert (metadata.name, metadata.version) == ("m", 2)
    expected = Signature(
        {"x": TensorSpec("DT_FLOAT", None)}, {"y": TensorSpec("DT_FLOAT", (None, 4))}
    )
    assert metadata.signatures == {"s": expected}


def test_labels_are_quoted_in_queries() -> None:
    assert RestProtocol("m", None, None).forget_label("a&b=c d").path.endswith("label=a%26b%3Dc+d")
