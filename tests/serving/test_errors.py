"""Codes of errors."""

from __future__ import annotations

import grpc
import pytest
import tensorflow as tf

from serving.errors import ServingError, from_tensorflow


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_code_has_an_http_status(code: grpc.StatusCode):
    assert 200 <= ServingError(code, "").http_status < 600


def test_statuses_that_clients_act_on():
    statuses = {
        name: ServingError(getattr(grpc.StatusCode, name), "").http_status
        for name in ("INVALID_ARGUMENT", "NOT_FOUND", "UNAVAILABLE", "DEADLINE_EXCEEDED")
    }
    assert statuses == {
        "INVALID_ARGUMENT": 400,
        "NOT_FOUND": 404,
        "UNAVAILABLE": 503,
        "DEADLINE_EXCEEDED": 504,
    }


def test_what_tensorflow_raises_keeps_code_and_message():
    error = from_tensorflow(tf.errors.ResourceExhaustedError(None, None, "out of memory"))
    assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.message == "out of memory"
    assert str(error) == "RESOURCE_EXHAUSTED: out of memory"


MANY = """2 root error(s) found.
  (0) INVALID_ARGUMENT: Invalid PNG data, size 60
\t [[{{node a}}]]
\t [[b/_3]]
  (1) INVALID_ARGUMENT: another
\t [[{{node a}}]]"""


@pytest.mark.parametrize(
    "message",
    [
        "Invalid PNG data, size 60\n\t [[{{function_node map_while_2}}{{node a/b/DecodeImage}}]]",
        "{{function_node __wrapped__X}} {{node X}} Invalid PNG data, size 60\n\t [[X]]",
        MANY,
    ],
)
def test_nodes_of_the_graph_are_left_out(message: str):
    error = from_tensorflow(tf.errors.InvalidArgumentError(None, None, message))
    assert error.message == "Invalid PNG data, size 60"
