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
