"""The benchmark of hostile requests, and that its requests are what their names say."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tensorflow_serving.apis import predict_pb2

from benchmarks import hostile_requests


def test_grpc_messages_are_those_of_the_protocol():
    raw = hostile_requests._message(hostile_requests._input(b"\x08\x07" + b"\x42\0" * 300))
    request = predict_pb2.PredictRequest.FromString(raw)
    assert request.model_spec.name == "bench"
    assert request.model_spec.signature_name == "embed_bytes"
    assert list(request.inputs["image_bytes"].string_val) == [b""] * 300


@pytest.mark.slow
def test_a_server_stands_under_hostile_requests():
    options = ["--encoder", "conv4", "--seconds", "20", "--quiet-seconds", "3", "--json"]
    found = json.loads(
        subprocess.run(
            [sys.executable, "-m", "benchmarks.hostile", *options],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    assert set(found["embed, attacked"]["statuses"]) == {"200"}
    assert set(found["health, attacked"]["statuses"]) == {"200"}
    # The limit is 5 seconds; a busy machine takes its time to end a process.
    assert found["seconds from SIGTERM to the end"] < 10
    assert found["bytes of the log"] < 100_000
