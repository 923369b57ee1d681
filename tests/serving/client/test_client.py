"""The client against a running server, over both protocols, blocking and not."""

from __future__ import annotations

import asyncio
import http.server
import io
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from serving.client import AsyncClient, Client, ClientError, Retry
from tests.serving.running import Running, running

BLUE = (30, 30, 200)
RED = (200, 30, 30)
SOON = Retry(attempts=4, first=0.001, longest=0.01)


@pytest.fixture(scope="module", params=["http", "grpc"])
def url(request: pytest.FixtureRequest, colours_server: Running) -> str:
    server = colours_server.server
    port = server.rest_port if request.param == "http" else server.grpc_port
    return f"{request.param}://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def rest_url(colours_server: Running) -> str:
    return f"http://127.0.0.1:{colours_server.server.rest_port}"


@pytest.fixture(scope="module", params=[False, True], ids=["blocking", "asyncio"])
def call(request: pytest.FixtureRequest) -> Callable:
    """Calls a method of the blocking or of the asyncio client."""

    def blocking(url: str, model: str, method: str, *arguments, **options):
        with Client(url, model, **options) as client:
            return getattr(client, method)(*arguments)

    def asynchronous(url: str, model: str, method: str, *arguments, **options):
        async def run():
            async with AsyncClient(url, model, **options) as client:
                return await getattr(client, method)(*arguments)

        return asyncio.run(run())

    return asynchronous if request.param else blocking


def test_embeddings_of_every_kind_of_image(url: str, call, coloured_png, tmp_path) -> None:
    png = coloured_png(RED, 0)
    path = tmp_path / "red.png"
    path.write_bytes(png)
    image = Image.open(io.BytesIO(png))
    kinds = [png, path, image, np.asarray(image), coloured_png(BLUE, 0)]
    embeddings = call(url, "colours", "embed", kinds, batch_size=2)
    assert embeddings.shape == (5, 4)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(embeddings[:4], embeddings[:1].repeat(4, axis=0), atol=1e-6)
    assert np.abs(embeddings[4] - embeddings[0]).max() > 0.1


def test_neighbours_of_embeddings(url: str, coloured_png) -> None:
    images = [coloured_png(RED, 2), coloured_png((30, 200, 30), 50)]
    with Client(url, "colours") as client:
        expected = client.neighbours(images)
        embeddings = 3 * client.embed(images)
        found = client.neighbours(embeddings=embeddings)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_allclose(found.similarities, expected.similarities, atol=1e-5)
        fewer = client.neighbours(embeddings=embeddings, k=2)
        np.testing.assert_array_equal(fewer.sources, expected.sources[:, :2])
        with pytest.raises(ValueError, match="k is 1 to 4"):
            client.neighbours(images, k=5)
        with pytest.raises(ValueError, match="either images or embeddings"):
            client.neighbours(images, embeddings=embeddings)


def test_no_images(url: str, call) -> None:
    assert call(url, "colours", "embed", []).shape == (0, 4)
    assert call(url, "colours", "classify", []).classes.shape[0] == 0
    pixels = np.zeros((0, 8, 8, 3), np.uint8)
    answer = call(url, "colours", "predict", "embed", {"images": pixels})
    assert answer["embedding"].shape == (0, 4)


def test_the_image_at_fault_is_named(url: str, call, coloured_png, tmp_path) -> None:
    png = coloured_png(RED, 0)
    path = tmp_path / "cut.png"
    path.write_bytes(png[:60])
    for images, name in (([png] * 4 + [path, png], str(path)), ([png, b"x"], "image 1")):
        with pytest.raises(ClientError) as caught:
            call(url, "colours", "embed", images, batch_size=3)
        assert caught.value.code == "INVALID_ARGUMENT"
        message = str(caught.value)
        assert message.startswith(f"{name}: ") and "node" not in message


def test_classes_and_neighbours(url: str, call, coloured_png) -> None:
    images = [coloured_png(RED, 2), coloured_png((30, 200, 30), 50)]
    classes = call(url, "colours", "classify", images)
    assert classes.classes.tolist() == [["red", "green"], ["green", "red"]]
    assert classes.scores.dtype == np.float32
    np.testing.assert_allclose(classes.scores.sum(axis=1), 1, rtol=1e-5)
    neighbours = call(url, "colours", "neighbours", images)
    assert neighbours.ids.shape == neighbours.labels.shape == (2, 4)
    assert (neighbours.ids[0, 0], neighbours.labels[0, 0]) == (2, "red")
    assert neighbours.ids.dtype == np.int64
    assert neighbours.sources[0, 0] == "red/2.png"
    assert neighbours.similarities[0, 0] == pytest.approx(1, abs=1e-5)


def test_any_model_is_asked_by_name_version_and_signature(url: str, call) -> None:
    given = {"x": np.array([[1.0, np.inf]], np.float32)}
    outputs = call(url, "half_plus_two", "predict", "serving_default", given)
    assert list(outputs) == ["y"]
    assert outputs["y"].dtype == np.float32
    np.testing.assert_array_equal(outputs["y"], np.array([[2.5, np.inf]], np.float32))
    metadata = call(url, "half_plus_two", "metadata")
    assert metadata.version == 2
    assert metadata.signatures["serving_default"].inputs["x"].dtype == "DT_FLOAT"
    assert metadata.signatures["serving_default"].inputs["x"].shape is None
    metadata = call(url, "colours", "metadata")
    assert metadata.signatures["embed_bytes"].outputs["embedding"].shape == (None, 4)
    (status,) = call(url, "colours", "status")
    assert (status.version, status.state, status.error_code) == (2, "AVAILABLE", "OK")


def test_ready_tells_a_model_that_answers_from_one_that_does_not(url: str, call) -> None:
    assert call(url, "colours", "ready") is True
    assert call(url, "nope", "ready") is False
    assert call(url, "colours", "ready", version=7) is False
    nobody = f"{url.split(':')[0]}://127.0.0.1:9"
    assert call(nobody, "colours", "ready") is False


def test_refusals_have_the_servers_words(url: str, call) -> None:
    with pytest.raises(
        ClientError, match=r"Servable not found for request: Latest\(nope\)"
    ) as caught:
        call(url, "nope", "embed", [b""])
    assert caught.value.code == "NOT_FOUND"
    with pytest.raises(ClientError) as caught:
        call(url, "colours", "embed", [b"no image"])
    assert caught.value.code == "INVALID_ARGUMENT"
    with pytest.raises(ClientError, match="Unrecognized servable version label: x"):
        call(url, "colours", "metadata", label="x")


def test_a_server_that_is_away_is_asked_again_and_then_given_up(url: str, call) -> None:
    nobody = f"{url.split(':')[0]}://127.0.0.1:9"
    with pytest.raises(ClientError) as caught:
        call(nobody, "colours", "status", retry=SOON)
    assert caught.value.code == "UNAVAILABLE"


def test_teaching(rest_url: str, call, coloured_png) -> None:
    images = [coloured_png(BLUE, number) for number in range(3)]
    ids = call(rest_url, "colours", "teach", images, ["blue"] * 3, ["a", "b", "c"], batch_size=2)
    assert call(rest_url, "colours", "teach", images, ["blue"] * 3) == ids
    assert call(rest_url, "colours", "classify", images[:1]).classes[0, 0] == "blue"
    rows = call(rest_url, "colours", "rows")
    assert [(row.id, row.label, row.source) for row in rows] == [
        (taught, "blue", source) for taught, source in zip(ids, "abc", strict=True)
    ]
    assert call(rest_url, "colours", "row", ids[2]).image == images[2]
    assert call(rest_url, "colours", "forget", ids[0]) == 1

    with Client(rest_url, "colours") as client:
        assert client.forget(label="blue") == 2
        assert client.rows() == []


def test_taught_rows_as_a_file(rest_url: str, call, coloured_png, tmp_path) -> None:
    images = [coloured_png(BLUE, n) for n in range(3)]
    ids = call(rest_url, "colours", "teach", images, ["blue", "sea", "blue"], ["a", "b", "c"])
    assert [row.id for row in call(rest_url, "colours", "rows", "blue")] == ids[::2]
    file = tmp_path / "rows.ndjson"
    assert call(rest_url, "colours", "export_rows", file) == 3
    assert call(rest_url, "colours", "export_rows", tmp_path / "sea", "sea") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.ndjson", "sea"]
    with Client(rest_url, "colours") as client:
        client.forget(label="blue"), client.forget(label="sea")
    again = call(rest_url, "colours", "import_rows", file, batch_size=2)
    with Client(rest_url, "colours") as client:
        assert [(row.id, row.label, row.source) for row in client.rows()] == [
            (again[0], "blue", "a"),
            (again[1], "sea", "b"),
            (again[2], "blue", "c"),
        ]
        assert client.row(again[1]).image == images[1]
        file.write_text("no row\n")
        with pytest.raises(ValueError, match="Line 1 of .*rows.ndjson is no taught row"):
            client.import_rows(file)
        client.forget(label="blue"), client.forget(label="sea")


def test_teaching_by_grpc_is_refused_at_once(colours_server: Running) -> None:
    with (
        Client(f"grpc://127.0.0.1:{colours_server.server.grpc_port}", "colours") as client,
        pytest.raises(ValueError, match="by REST"),
    ):
        client.teach([b""], ["blue"])


def test_threads_share_a_client(url: str, coloured_png) -> None:
    images = [coloured_png(RED, number) for number in range(8)]
    results = {}
    with Client(url, "colours") as client:

        def ask(number: int) -> None:
            results[number] = client.embed([images[number]])[0]

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = client.embed(images)
    np.testing.assert_allclose([results[number] for number in range(8)], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"url": "localhost:8501"}, "starts with http"),
        ({"version": 1, "label": "stable"}, "not both"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Client(**{"url": "http://localhost", "model": "m"} | arguments)


def test_token_opens_the_server(exports) -> None:
    with running({"colours": exports / "colours"}, tokens=("secret",)) as server:
        for scheme in ("http", "grpc"):
            port = server.server.rest_port if scheme == "http" else server.server.grpc_port
            url = f"{scheme}://127.0.0.1:{port}"
            with Client(url, "colours", token="secret") as client:
                assert client.ready()
            with Client(url, "colours", token="wrong") as client:
                with pytest.raises(ClientError) as caught:
                    client.ready()
                assert caught.value.code == "UNAUTHENTICATED"


class _Busy(http.server.BaseHTTPRequestHandler):
    """Answers 503 with Retry-After twice, then a status."""

    times = 0

    def do_GET(self) -> None:
        type(self).times += 1
        body = b'{"error": "full"}'
        if self.times > 2:
            body = b'{"model_version_status": [{"version": "4", "state": "START", "status": {}}]}'
        self.send_response(200 if self.times > 2 else 503)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def busy_url() -> Iterator[str]:
    _Busy.times = 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Busy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_busy_server_is_asked_again(busy_url: str, call) -> None:
    (status,) = call(busy_url, "m", "status", retry=SOON)
    assert (status.version, status.state) == (4, "START")
    assert _Busy.times == 3
