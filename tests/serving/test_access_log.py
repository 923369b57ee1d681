"""The access log: who asked what, and what became of it."""

from __future__ import annotations

import json
import pathlib

import grpc
import pytest
from tensorflow_serving.apis import get_model_metadata_pb2, prediction_service_pb2_grpc

from serving.access_log import AccessLog, note
from tests.serving.running import running


def lines(path: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_request_has_a_line(saved_models: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "access.log"
    models = {"half_plus_two": saved_models / "half_plus_two"}
    body = b'{"instances": [12345.0]}'
    headers = {"Authorization": "Bearer one", "X-Request-Id": "mine-1"}
    with running(models, access_log=str(path), tokens=("one",)) as server:
        predict = "/v1/models/half_plus_two:predict"
        answer = server.ask("POST", predict, body, headers)
        assert answer.headers["x-request-id"] == "mine-1"
        server.ask("POST", predict, body)
        server.ask("GET", "/v1/models/a%0ab/metadata", headers=headers | {"X-Request-Id": "a b"})
        server.ask("GET", "/", headers={"Host": "evil.example"})
        with server.channel() as channel:
            ask = prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata
            request = get_model_metadata_pb2.GetModelMetadataRequest(
                metadata_field=["signature_def"]
            )
            request.model_spec.name = "half_plus_two"
            ask(request, metadata=[("authorization", "Bearer one"), ("x-request-id", "mine-2")])
            request.model_spec.name = "nope"
            for metadata in ([("authorization", "Bearer one")], []):
                with pytest.raises(grpc.RpcError):
                    ask(request, metadata=metadata)
    written = lines(path)
    assert [line["code"] for line in written] == [200, 401, 404, 403] + [
        "OK",
        "NOT_FOUND",
        "UNAUTHENTICATED",
    ]
    first, refused, unknown, foreign, call, *_ = written
    assert (first["id"], first["client"], first["method"]) == ("mine-1", "127.0.0.1", "POST")
    assert (first["model"], first["version"], first["path"]) == ("half_plus_two", 2, predict)
    assert (first["received"], first["sent"]) == (len(body), len(answer.body))
    assert first["milliseconds"] > 0 and first["time"].endswith("+00:00")
    assert "model" not in refused and len(refused["id"]) == 32
    assert unknown["model"] == "a\nb" and unknown["id"] != "a b" and "version" not in unknown
    assert foreign["path"] == "/"
    assert (call["id"], call["model"], call["version"]) == ("mine-2", "half_plus_two", 2)
    assert call["method"].endswith("/GetModelMetadata") and call["sent"] > 0
    assert "12345" not in path.read_text() and "Bearer" not in path.read_text()


def test_a_file_that_was_moved_away_is_made_again(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    for number in range(2):
        with log.entry(None):
            note(number=number)
        path.rename(tmp_path / f"{number}.log")
    assert [lines(tmp_path / f"{number}.log")[0]["number"] for number in range(2)] == [0, 1]
    note(number=2)
