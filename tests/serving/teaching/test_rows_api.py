"""Teaching over HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

from tests.serving.running import Answer, Running, running

BLUE = (30, 30, 200)
ROWS = "/v1/models/colours/rows"


@pytest.fixture
def server(colours_server: Running) -> Iterator[Running]:
    yield colours_server
    for row in ask(colours_server, "GET", ROWS)["rows"]:
        ask(colours_server, "DELETE", f"{ROWS}/{row['id']}")


def ask(server: Running, method: str, path: str, body: Any = None, status: int = 200) -> dict:
    encoded = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    answer = server.ask(method, path, encoded)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.body)


@pytest.fixture
def row(coloured_png):
    def make(number: int, **more: Any) -> dict:
        encoded = base64.b64encode(coloured_png(BLUE, number)).decode()
        return {"image_bytes": {"b64": encoded}, "label": "blue"} | more

    return make


def classes(server: Running, row: dict) -> list[str]:
    body = {"signature_name": "classify_bytes", "instances": [row["image_bytes"]]}
    return ask(server, "POST", "/v1/models/colours:predict", body)["predictions"][0]["classes"]


def test_taught_class_shows_in_the_next_answer(server: Running, row) -> None:
    assert "blue" not in classes(server, row(9))
    ids = ask(server, "POST", ROWS, {"rows": [row(n) for n in range(3)]})["ids"]
    assert len(ids) == len(set(ids)) == 3
    assert max(ids) <= -2
    assert classes(server, row(9))[0] == "blue"
    assert ask(server, "DELETE", f"{ROWS}?label=blue") == {"deleted": 3}
    assert "blue" not in classes(server, row(9))


def test_foreign_pages_neither_ask_nor_teach(server: Running, row) -> None:
    body = json.dumps({"rows": [row(0)]}).encode()
    port = server.server.rest_port
    for method, path in (
        ("POST", ROWS),
        ("GET", ROWS),
        ("DELETE", f"{ROWS}?label=x"),
        ("POST", "/v1/models/colours:predict"),
        ("GET", "/page/models"),
    ):
        for headers in ({"Origin": "http://127.0.0.1:1"}, {"Host": f"evil.example:{port}"}):
            assert server.ask(method, path, body, headers).status == 403, headers
    assert ask(server, "GET", ROWS)["total"] == 0
    own = {"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}
    assert server.ask("POST", ROWS, body, own).status == 200


def test_teaching_may_need_a_token_of_its_own(exports, tmp_path, row) -> None:
    body = json.dumps({"rows": [row(0)]}).encode()
    settings = {"rows_dir": tmp_path / "rows", "admin_tokens": ("admin",), "tokens": ("one",)}
    with running({"colours": exports / "colours"}, **settings) as server:
        for token, method, path, status in (
            ("one", "GET", ROWS, 200),
            ("one", "POST", ROWS, 401),
            ("one", "DELETE", f"{ROWS}?label=blue", 401),
            ("admin", "POST", ROWS, 200),
            ("admin", "GET", ROWS, 200),
            ("other", "GET", ROWS, 401),
        ):
            headers = {"Authorization": f"Bearer {token}"}
            assert server.ask(method, path, body, headers).status == status, (token, method)
        with server.channel() as channel:
            reload = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
            request = model_management_pb2.ReloadConfigRequest()
            for token, code in (("one", "UNAUTHENTICATED"), ("admin", "INVALID_ARGUMENT")):
                with pytest.raises(grpc.RpcError) as caught:
                    reload(request, metadata=[("authorization", f"Bearer {token}")])
                assert caught.value.code().name == code
    assert (tmp_path / "rows").stat().st_mode & 0o777 == 0o700


def test_rows_are_listed_in_pages_and_shown_with_their_image(server: Running, row) -> None:
    rows = [row(0, source="a.png"), row(1), row(2, label="sky & sea")]
    ids = ask(server, "POST", ROWS, {"rows": rows})["ids"]
    first = ask(server, "GET", f"{ROWS}?limit=2")
    assert (first["total"], first["next_after"]) == (3, ids[1])
    assert [(r["id"], r["label"], r["source"]) for r in first["rows"]] == [
        (ids[0], "blue", "a.png"),
        (ids[1], "blue", "taught"),
    ]
    second = ask(server, "GET", f"{ROWS}?limit=2&after={ids[1]}")
    assert [r["id"] for r in second["rows"]] == [ids[2]]
    assert "next_after" not in second
    shown = ask(server, "GET", f"{ROWS}/{ids[2]}")
    assert shown["image_bytes"] == rows[2]["image_bytes"]
    assert shown["label"] == "sky & sea"
    assert ask(server, "DELETE", f"{ROWS}?label=sky+%26+sea") == {"deleted": 1}


def test_forgotten_row_is_not_found(server: Running, row) -> None:
    (taught,) = ask(server, "POST", ROWS, {"rows": [row(0)]})["ids"]
    assert ask(server, "DELETE", f"{ROWS}/{taught}") == {"deleted": 1}
    for method in ("GET", "DELETE"):
        error = ask(server, method, f"{ROWS}/{taught}", status=404)["error"]
        assert str(taught) in error


def test_all_rows_or_none_and_a_reason_for_each(server: Running, row) -> None:
    rows = [
        row(0),
        row(1, label=""),
        row(2, image_bytes={"b64": "%%"}),
        row(3, image_bytes={"b64": base64.b64encode(b"text").decode()}),
        row(4, colour="blue"),
        row(0, label="sky"),
        "row",
        row(5, source=7),
        row(6, label="a\nb"),
        row(7, image_bytes="text"),
    ]
    answer = ask(server, "POST", ROWS, {"rows": rows}, status=400)
    assert answer["error"].startswith("9 of 10 rows cannot be taught")
    reasons = {refused["index"]: refused["error"] for refused in answer["rows"]}
    assert sorted(reasons) == list(range(1, 10))
    for index, part in enumerate(
        ["label", "base64", "no JPEG", "colour", "'blue' above", "object", "source", "printable"], 1
    ):
        assert part in reasons[index]
    assert ask(server, "GET", ROWS)["total"] == 0


def test_image_that_cannot_be_decoded_is_named(server: Running, row) -> None:
    whole = base64.b64decode(row(1)["image_bytes"]["b64"])
    cut = base64.b64encode(whole[:60]).decode()
    rows = [row(0), row(1, image_bytes={"b64": cut})]
    answer = ask(server, "POST", ROWS, {"rows": rows}, status=400)
    assert [refused["index"] for refused in answer["rows"]] == [1]
    assert ask(server, "GET", ROWS)["total"] == 0


def test_body_that_is_no_request_is_refused(server: Running) -> None:
    assert "at least one row" in ask(server, "POST", ROWS, b"{}", status=400)["error"]


def test_more_pixels_than_the_server_takes_are_refused(server: Running, row) -> None:
    png = bytearray(base64.b64decode(row(0)["image_bytes"]["b64"]))
    png[16:24] = (50_000).to_bytes(4, "big") * 2
    huge = row(0, image_bytes={"b64": base64.b64encode(png).decode()})
    answer = ask(server, "POST", ROWS, {"rows": [huge]}, status=400)
    assert "50000 x 50000" in answer["rows"][0]["error"]


@pytest.mark.parametrize(
    "path",
    ["?limit=0", "?limit=1001", "?limit=x", "?after=3", "?after=" + "9" * 400, "?limit=1%00"],
)
def test_wrong_page_is_refused(server: Running, path: str) -> None:
    assert "must be a whole number" in ask(server, "GET", ROWS + path, status=400)["error"]


@pytest.mark.parametrize("row_id", ["x", "0", "-1", "9" * 400, "-٣", "--2", "1e3"])
def test_wrong_row_is_not_found(server: Running, row_id: str) -> None:
    ask(server, "GET", f"{ROWS}/{quote(row_id)}", status=404)


def test_deleting_needs_to_say_what(server: Running) -> None:
    assert "label=NAME" in ask(server, "DELETE", ROWS, status=400)["error"]


def test_model_that_is_not_ours_is_refused_with_the_reason(server: Running, row) -> None:
    path = "/v1/models/half_plus_two/rows"
    for method, body in (("POST", {"rows": [row(0)]}), ("GET", None)):
        error = ask(server, method, path, body, status=400)["error"]
        assert "half_plus_two cannot be taught: it is no export of and_tf" in error


def test_unknown_model_is_not_found(server: Running) -> None:
    error = ask(server, "GET", "/v1/models/nope/rows", status=404)["error"]
    assert error == "Servable not found for request: Latest(nope)"


def test_without_a_folder_for_rows_nothing_is_taught(exports, row) -> None:
    with running({"colours": exports / "colours"}) as server:
        error = ask(server, "POST", ROWS, {"rows": [row(0)]}, status=400)["error"]
        assert "--rows-dir" in error
        assert server.ask("GET", "/").status == 404


def test_rows_travel_as_lines(server: Running, row) -> None:
    rows = [row(n, label="blue" if n < 2 else "sea", source=f"{n}.png") for n in range(3)]
    ids = ask(server, "POST", ROWS, {"rows": rows})["ids"]
    exported = server.ask("GET", f"{ROWS}:export")
    assert exported.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in exported.body.splitlines()]
    assert [line["id"] for line in lines] == ids
    assert [{key: line[key] for key in rows[0]} for line in lines] == rows
    pieces = [f"limit=1&after={ids[0]}", "label=sea", f"after={ids[2]}"]
    found = [server.ask("GET", f"{ROWS}:export?{piece}").body for piece in pieces]
    assert [body.splitlines() for body in found] == [
        [exported.body.splitlines()[1]],
        [exported.body.splitlines()[2]],
        [],
    ]
    assert ask(server, "GET", f"{ROWS}?label=blue&limit=1")["total"] == 2
    assert ask(server, "GET", f"{ROWS}?label=sea")["rows"][0]["id"] == ids[2]
    for row_id in ids:
        ask(server, "DELETE", f"{ROWS}/{row_id}")

    def teach(body: bytes) -> Answer:
        return server.ask("POST", ROWS, body, {"Content-Type": "application/x-ndjson"})

    taught = teach(exported.body + b"\n")
    assert taught.status == 200
    assert len(json.loads(taught.body)["ids"]) == 3
    assert server.ask("GET", f"{ROWS}:export").body.count(b"\n") == 3
    assert teach(b"").status == teach(b"{]").status == 400
    refused = teach(exported.body + b'{"label": "no image"}\n')
    assert [one["index"] for one in json.loads(refused.body)["rows"]] == [3]


def test_teaching_is_measured(exports, tmp_path, row) -> None:
    settings = {"rows_dir": tmp_path / "rows", "metrics_path": "/metrics", "tokens": ("one",)}
    with running({"colours": exports / "colours"}, **settings) as server:
        own = {"Authorization": "Bearer one"}
        for body in (json.dumps({"rows": [row(0)]}).encode(), b"{}"):
            server.ask("POST", ROWS, body, own)
        assert server.ask("GET", "/models").status == 401
        page = server.ask("GET", "/metrics", headers=own).body.decode()
    pairs = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
    lines = {name: float(value) for name, _, value in pairs}
    prefix = ":tensorflow:serving:"
    taught = prefix + 'teaching_request_count{model_name="colours",status='
    assert lines[taught + '"OK"}'] == lines[taught + '"INVALID_ARGUMENT"}'] == 1
    assert lines[prefix + 'taught_rows{model_name="colours"}'] == 1
    assert lines[prefix + 'refused_request_count{API="REST",status="401"}'] == 1
    for name in ("queued_rows", "teaching_queue_length"):
        assert lines[f'{prefix}{name}{{model_name="colours"}}'] == 0
    assert lines[prefix + "request_bytes"] == lines[prefix + "reading_queue_length"] == 0
    assert lines["process_resident_memory_bytes"] > 1e8
