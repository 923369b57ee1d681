"""Requests that cost much more than they look: refused, or answered apart from all others."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import gzip
import io
import json
import pathlib
import socket
import types
from collections.abc import Callable

import grpc
import numpy as np
import pytest
import starlette.requests
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import (
    classification_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.engine.request_queue import Request
from serving.errors import ServingError
from serving.protocol import open_files
from serving.protocol.grpc import messages
from serving.protocol.http.request_body import BodyError
from serving.protocol.work import SMALL
from tests.serving.running import Answer, Running, running

PREDICT = "/v1/models/{}:predict"
# What keeps a request, if something keeps it.
KEPT = (ServingError, BodyError, Request, starlette.requests.Request)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def many_frames() -> bytes:
    """A GIF of 1 MB at most whose frames a decoder makes all at once: 320 million pixels."""
    data = encoded(Image.new("1", (2000, 2000)), "GIF")
    first = data.index(b"\x2c\0\0\0\0")
    return data[:first] + data[first:-1] * 80 + b"\x3b"


def many_scans() -> bytes:
    """A progressive JPEG of 4,000 scans."""
    data = encoded(Image.new("L", (2000, 2000)), "JPEG", progressive=True)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * 4000 + b"\xff\xd9"


def large_png() -> bytes:
    return encoded(Image.new("1", (4000, 3900)), "PNG")


COSTLY: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "frames": (many_frames, 1, "at most 16000000 pixels. Received: 2000 x 2000 in many frames"),
    "scans": (many_scans, 1, "at most 32 scans"),
    "together": (large_png, 5, "at most 64000000 pixels together. Received: 78000000"),
}


@pytest.mark.parametrize("kind", COSTLY)
def test_images_are_refused_by_what_they_cost(
    server: Running, colours_server: Running, kind: str
) -> None:
    make, count, message = COSTLY[kind]
    image = make()
    instances = [{"b64": base64.b64encode(image).decode()}] * count
    body = json.dumps({"signature_name": "image_mean", "instances": instances}).encode()
    answer = server.ask("POST", PREDICT.format("kinds"), body)
    assert (answer.status, message in answer.body.decode()) == (400, True)

    with server.channel() as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError, match=message):
            stub.Predict(predict("kinds", "image_mean", image=[image] * count), timeout=60)

    rows = [{"image_bytes": instance, "label": "a"} for instance in instances]
    answer = colours_server.ask(
        "POST", "/v1/models/colours/rows", json.dumps({"rows": rows}).encode()
    )
    assert (answer.status, message in answer.body.decode()) == (400, True)


def test_slow_images_run_row_by_row_to_the_same_answer(server: Running) -> None:
    images = [encoded(Image.new("RGB", (1300, 1300), (i, 0, 0)), "PNG") for i in range(3)]
    instances = [{"b64": base64.b64encode(image).decode()} for image in images]
    body = json.dumps({"signature_name": "image_mean", "instances": instances}).encode()
    answer = server.ask("POST", PREDICT.format("kinds"), body)
    assert json.loads(answer.body) == {"predictions": [[i, 0.0, 0.0] for i in range(3)]}


@pytest.mark.parametrize("verb", ["predict", "classify", "regress"])
@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}], ids=["plain", "gzip"])
def test_a_model_is_looked_for_before_its_body_is_read(
    server: Running, verb: str, headers: dict[str, str]
) -> None:
    for model in ("nope", "kinds/versions/7"):
        answer = server.ask("POST", f"/v1/models/{model}:{verb}", b"neither", headers)
        assert answer.status == 404
    assert server.ask("POST", f"/v1/models/kinds:{verb}", b"neither", headers).status == 400


def test_large_requests_over_grpc(server: Running) -> None:
    with server.channel() as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        x = np.arange(SMALL, dtype=np.float32) % 7
        answer = stub.Predict(predict("half_plus_two", "", x=x.reshape(256, -1)), timeout=60)
        np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["y"]).ravel(), x / 2 + 2)
        one = tf.train.Example()
        one.features.feature["x"].float_list.value.append(0.5)
        one.features.feature["more"].bytes_list.value.append(b"a" * SMALL)
        for kind, call in (
            (classification_pb2.ClassificationRequest, stub.Classify),
            (regression_pb2.RegressionRequest, stub.Regress),
        ):
            request = kind()
            request.model_spec.name = "examples"
            request.model_spec.signature_name = call._method.decode().split("/")[-1].lower()
            request.input.example_list.examples.append(one)
            assert len(call(request, timeout=60).SerializeToString()) > 10


def test_the_model_of_a_large_message_is_found_without_reading_it() -> None:
    request = predict("name", "", x=b"a" * SMALL)
    request.output_filter.append("y")
    raw = request.SerializeToString()
    alone = predict_pb2.PredictRequest(model_spec=request.model_spec).SerializeToString()
    assert messages.first_field(raw) == alone
    # Fields may come in any order, several times, and unknown.
    fields = b"\x78\x96\x01" + b"\x79" + b"8" * 8 + b"\x7d" + b"4" * 4
    assert messages.first_field(fields + raw + alone) == 2 * alone
    for wrong in (
        raw[:-1],
        raw + b"\x0b",
        raw + b"\xff" * 20,
        raw + b"\x12\0" * 5000,
        alone * 9999,
    ):
        with pytest.raises(ServingError, match="^INVALID_ARGUMENT"):
            messages.first_field(wrong)


def test_more_strings_than_anybody_asks_about(server: Running) -> None:
    body = b'{"signature_name":"text","instances":[[' + b",".join([b'""'] * 300_000) + b"]]}"
    answer = server.ask("POST", PREDICT.format("kinds"), body)
    assert (answer.status, b"at most 262144 strings" in answer.body) == (400, True)
    body = b'{"examples":[' + b",".join([b"{}"] * 300_000) + b"]}"
    answer = server.ask("POST", "/v1/models/examples:classify", body)
    assert (answer.status, b"at most 262144 strings" in answer.body) == (400, True)
    with server.channel() as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError, match="at most 262144 strings"):
            stub.Predict(predict("kinds", "text", img_bytes=[b""] * 300_000), timeout=60)


def test_a_constant_beside_a_long_string(server: Running) -> None:
    """It is looked for outside of strings, by a pattern that takes long strings in one step."""
    image = base64.b64encode(b"a" * 3_000_000)
    body = b'{"instances":[NaN],"ignored":"' + image + b'"}'
    answer = server.ask("POST", PREDICT.format("half_plus_two"), body)
    assert (answer.status, answer.body) == (200, b'{"predictions":[NaN]}')


def test_failures_keep_nothing(server: Running) -> None:
    """What only the collector would free stays long in a process that collects seldom."""
    large = b"\xff\xd8\xff\xd9" + b"a" * SMALL
    encoded = base64.b64encode(large).decode()

    def rest(**body: object) -> Answer:
        return server.ask("POST", PREDICT.format("kinds"), json.dumps(body).encode())

    with server.channel() as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for signature, value in (("image_mean", large), ("below_ten", [11.0]), ("no", large)):
                with contextlib.suppress(grpc.RpcError):
                    stub.Predict(predict("kinds", signature, image=value, x=value), timeout=60)
            with contextlib.suppress(grpc.RpcError):
                stub.Predict(predict("kinds", "image_mean", image=[large]), timeout=60)
            statuses = [
                rest(signature_name="image_mean", instances=[{"b64": encoded}]).status,
                rest(signature_name="below_ten", instances=[11.0]).status,
                rest(signature_name="image_mean", instances=[encoded, 1]).status,
                rest(signature_name="no", instances=[encoded]).status,
                server.ask(
                    "POST", PREDICT.format("kinds"), large, {"Content-Encoding": "gzip"}
                ).status,
            ]
            # An answer may come a little before its request is done with.
            server.call(asyncio.sleep(0.1))
            gc.collect()
            kept = [one for one in gc.garbage if isinstance(one, KEPT)]
            frames = [one for one in gc.garbage if isinstance(one, types.FrameType)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert statuses == [400] * 5
    assert not kept
    assert not [frame for frame in frames if "/serving/" in frame.f_code.co_filename]


def test_connections_are_capped_on_both_ports(
    saved_models: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.protocol.grpc.server.most_connections", lambda: 2)
    monkeypatch.setattr(open_files, "most_connections", lambda: 2)
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(running({"m": saved_models / "half_plus_two"}))
        for port in (one.server.rest_port, one.server.grpc_port):
            clients = [
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
                for _ in range(3)
            ]
            assert clients[2].recv(100) == b""
            for client in clients[:2]:
                client.close()


def test_gzip_of_empty_members(server: Running) -> None:
    body = gzip.compress(b"") * 100_000
    answer = server.ask("POST", PREDICT.format("kinds"), body, {"Content-Encoding": "gzip"})
    assert (answer.status, b"1024 members" in answer.body) == (400, True)


def predict(name: str, signature: str, **inputs: object) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    return request
