"""More than a server can do: refused at once, in time, or not at all once the client is gone."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import pathlib
import statistics
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.engine.batching_settings import BatchingSettings
from tests.serving.running import Answer, Running, running

PATH = "/v1/models/slow:predict"


def body(*counts: int) -> bytes:
    return json.dumps({"instances": counts}).encode()


def test_a_full_queue_is_503_and_deadlines_504(slow_model: pathlib.Path) -> None:
    batching = BatchingSettings(max_batch_size=1, max_queued_rows=1)
    with running({"slow": slow_model}, batching, request_timeout=30) as one:

        def ask(_: int) -> Answer:
            return one.ask("POST", PATH, body(40_000))

        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(ask, range(8)))
        refused = [answer for answer in answers if answer.status != 200]
        assert {answer.status for answer in refused} == {503}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert 1 <= len(answers) - len(refused) <= 3
        assert one.ask("POST", PATH, body(1)).status == 200

        with one.channel() as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "slow"
            request.inputs["n"].CopyFrom(tf.make_tensor_proto(np.int32([40_000])))
            calls = [stub.Predict.future(request, timeout=30) for _ in range(8)]
            codes = [call.code() for call in calls]
            assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
            with pytest.raises(grpc.RpcError) as error:
                stub.Predict(request, timeout=0.05)
            assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_request_past_its_time_is_504(slow_model: pathlib.Path) -> None:
    with running({"slow": slow_model}, request_timeout=0.1) as one:
        answer = one.ask("POST", PATH, body(100_000))
        assert answer.status == 504
        assert list(json.loads(answer.body)) == ["error"]


def test_requests_of_clients_that_left_do_not_run(slow_model: pathlib.Path) -> None:
    with running({"slow": slow_model}, BatchingSettings(max_batch_size=1)) as one:
        one.ask("POST", PATH, body(1))
        connections = []
        start = time.perf_counter()
        for _ in range(20):
            connection = http.client.HTTPConnection("127.0.0.1", one.server.rest_port)
            connection.request("POST", PATH, body(40_000))
            connections.append(connection)
        time.sleep(0.1)
        for connection in connections:
            connection.close()
        # What has begun to run ends; the others never start.
        assert one.ask("POST", PATH, body(1)).status == 200
        ran = time.perf_counter() - start
        begin = time.perf_counter()
        one.ask("POST", PATH, body(40_000))
        assert ran < 6 * (time.perf_counter() - begin)


def test_answers_are_sent_at_once(server: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server.rest_port)
    times = []
    for _ in range(9):
        start = time.perf_counter()
        connection.request("POST", "/v1/models/half_plus_two:predict", b'{"instances": [1.0]}')
        connection.getresponse().read()
        times.append(time.perf_counter() - start)
    connection.close()
    # A packet that waits for the acknowledgement of the one before takes 40 ms.
    assert statistics.median(times) < 0.03
