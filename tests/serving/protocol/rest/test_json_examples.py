"""Classify and regress requests in JSON to serialised examples."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from serving.errors import ServingError
from serving.protocol.rest.json_examples import read_examples


def read(document: dict[str, Any]) -> list[tf.train.Example]:
    return [tf.train.Example.FromString(text) for text in read_examples(document)]


def test_kinds_of_features() -> None:
    values = {"f": 0.5, "i": [1, True, -(2**63)], "s": ["ä", {"b64": "/9j/"}], "e": []}
    (example,) = read({"examples": [values]})
    feature = example.features.feature
    assert feature["f"].float_list.value == [0.5]
    assert feature["i"].int64_list.value == [1, 1, -(2**63)]
    assert feature["s"].bytes_list.value == ["ä".encode(), b"\xff\xd8\xff"]
    assert feature["e"].WhichOneof("kind") is None


def test_context_is_part_of_each_example_which_overrules_it() -> None:
    first, second = read({"context": {"x": 4.0, "y": 1}, "examples": [{}, {"x": 5.0}]})
    assert first.features.feature["x"].float_list.value == [4.0]
    assert second.features.feature["x"].float_list.value == [5.0]
    assert second.features.feature["y"].int64_list.value == [1]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"signature_name": "c"}, "When method is classify, key 'examples' is expected"),
        ({"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [[{}]]}, "Example must be JSON object but got JSON Array"),
        ({"context": 1, "examples": [{}]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
        ({"examples": [{"x": [[1]]}]}, "Feature: x has element with unexpected JSON type: Array"),
        ({"examples": [{"x": {"a": 1}}]}, "Feature: x has element with unexpected JSON type: Obj"),
        ({"examples": [{"x": [1, 1.0]}]}, "Unexpected element type in feature: x expecting type: "),
        ({"examples": [{"x": ["a", 1]}]}, "in feature: x expecting type: bytes"),
        ({"examples": [{"x": 2**63}]}, "Feature: x has uint64_t element. Only int64_t is"),
        ({"examples": [{"x": [0.5, 2**63]}]}, "in feature: x expecting type: float"),
        ({"examples": [{"x": {"b64": "_"}}]}, "Unable to base64 decode"),
        ({"examples": [{"x": [1, {"b64": "_"}]}]}, "in feature: x expecting type: int64"),
    ],
)
def test_what_is_no_example(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ServingError) as error:
        read_examples(document)
    assert message in error.value.message
