"""Images as bodies of requests, without base64."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest

from serving.errors import ServingError
from serving.protocol.rest.uploads import MOST_IMAGES, read_images
from tests.serving.running import Running

RED = (200, 30, 30)
GREEN = (30, 200, 30)
FORM = "multipart/form-data; boundary=x"


def path(server: Running, verb: str) -> str:
    return f"http://127.0.0.1:{server.server.rest_port}/v1/models/colours:{verb}"


def test_one_image_is_the_body(colours_server: Running, coloured_png) -> None:
    for kind in ("image/png", "IMAGE/x; a=b"):
        answer = httpx.post(
            path(colours_server, "embed"),
            content=coloured_png(RED, 0),
            headers={"Content-Type": kind},
        )
        assert answer.headers["x-model-version"] == "2"
        (result,) = answer.json()["results"]
        assert list(result) == ["embedding"]
        assert np.linalg.norm(result["embedding"]) == pytest.approx(1, abs=1e-5)


def test_every_image_has_a_result_or_an_error(colours_server: Running, coloured_png) -> None:
    red = coloured_png(RED, 0)
    images = [red, b"no image", coloured_png(GREEN, 1), red[:60]]
    files = [("file", (f"{n}.png", image)) for n, image in enumerate(images)]
    classes = httpx.post(path(colours_server, "classify"), files=files).json()["results"]
    assert classes[0]["classes"][0] == "red" and classes[2]["classes"][0] == "green"
    assert classes[1]["error"].startswith("Unknown image file format")
    assert classes[3]["error"] == "Invalid PNG data, size 60"
    nearest = httpx.post(path(colours_server, "neighbours"), files=files[:1]).json()["results"]
    assert set(nearest[0]) >= {"ids", "similarities", "labels", "sources"}


@pytest.mark.parametrize(
    ("url", "kind", "status", "message"),
    [
        ("colours:predict", "image/png", 400, "JSON Parse error"),
        ("colours:embed", "application/json", 400, "Malformed request"),
        ("half_plus_two:embed", "image/png", 400, "it has no signature embed_bytes"),
        ("nope:embed", "image/png", 404, "Servable not found"),
        ("colours/versions/9:embed", "image/png", 404, "Servable not found"),
        ("colours:embed", "multipart/form-data", 400, "boundary"),
        ("colours:embed", FORM, 400, "ends too early"),
    ],
)
def test_what_is_no_upload(
    colours_server: Running, url: str, kind: str, status: int, message: str
) -> None:
    headers = {"Content-Type": kind}
    answer = colours_server.ask("POST", f"/v1/models/{url}", b"x", headers)
    assert (answer.status, message in json.loads(answer.body)["error"]) == (status, True), answer


def test_parts_are_read_to_the_byte() -> None:
    image = bytes(range(256)) + b"\r\n--y\r\n\r\n--\n"
    body = b"--x\r\nA: b\r\n\r\n" + image + b"\r\n--x\r\n\r\n1\r\n--x--\r\nend"
    # A part without headers is one with an empty line before its content.
    assert read_images(FORM, body) == [image, b"1"]
    assert read_images('multipart/form-data; boundary="x"', body)[1] == b"1"


@pytest.mark.parametrize(
    "body",
    [b"", b"--x--", b"--x\r\n\r\n1", b"--x\r\nA: b\r\n--x--", b"--x\r\n\r\n\r\n--x--"]
    + [b"--x\r\n\r\n1\r\n" * (MOST_IMAGES + 1) + b"--x--"],
)
def test_bodies_that_are_no_form(body: bytes) -> None:
    with pytest.raises(ServingError):
        read_images(FORM, body)


def test_fewer_neighbours_than_the_export_gives(colours_server: Running, coloured_png) -> None:
    png = coloured_png((200, 30, 30), 0)
    upload = {"Content-Type": "image/png"}
    base = "/v1/models/colours"
    body = json.dumps(
        {
            "signature_name": "classify_bytes",
            "instances": [{"b64": base64.b64encode(png).decode()}],
        }
    ).encode()

    def ask(path: str, body: bytes = png, headers: dict[str, str] = upload) -> tuple[int, Any]:
        answer = colours_server.ask("POST", base + path, body, headers)
        return answer.status, json.loads(answer.body)

    all_of_them = ask(":neighbours")[1]["results"][0]
    first = ask(":neighbours?k=2")[1]["results"][0]
    assert first == {name: values[:2] for name, values in all_of_them.items()}
    assert len(ask(":predict?k=1", body, {})[1]["predictions"][0]["classes"]) == 1
    for path in (":neighbours?k=5", ":neighbours?k=0", ":embed?k=1"):
        assert "k " in ask(path)[1]["results"][0]["error"], path
    assert ask(":predict?k=9", body, {})[0] == 400
    assert ask(":regress?k=1", b'{"examples":[{"x":1}]}', {})[0] == 400
    assert ask(":neighbours?k=x")[0] == 400
