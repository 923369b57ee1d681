"""The client's operations, driven by hand: what is sent, when again, and what comes of it."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest

from serving.client.operations import Operations, Pause, Reply
from serving.client.rest import RestCall, RestProtocol
from serving.client.types import ClientError, Retry

METADATA = {
    "model_spec": {"name": "m", "signature_name": "", "version": "3"},
    "metadata": {
        "signature_def": {
            "signature_def": {
                "embed_bytes": {
                    "inputs": {
                        "image_bytes": {
                            "dtype": "DT_STRING",
                            "tensor_shape": {"dim": [{"size": "-1"}], "unknown_rank": False},
                        }
                    },
                    "outputs": {
                        "embedding": {
                            "dtype": "DT_FLOAT",
                            "tensor_shape": {
                                "dim": [{"size": "-1"}, {"size": "2"}],
                                "unknown_rank": False,
                            },
                        }
                    },
                    "method_name": "tensorflow/serving/predict",
                }
            }
        }
    },
}


def operations(*, batch_size: int = 32, max_bytes: int = 2**20, attempts: int = 4) -> Operations:
    return Operations(RestProtocol("m", None, None), Retry(attempts), batch_size, max_bytes)


def drive(steps, answer) -> tuple[object, list]:
    """The result of an operation whose calls are answered by `answer`, and its steps."""
    taken = []
    reply = None
    while True:
        try:
            step = steps.send(reply)
        except StopIteration as done:
            return done.value, taken
        taken.append(step)
        reply = None if isinstance(step, Pause) else answer(step)


def embedding_server(call: RestCall) -> Reply:
    """Answers metadata, and to each image a vector of its length."""
    if call.method == "GET":
        return Reply(value=json.dumps(METADATA).encode())
    images = json.loads(call.body)["inputs"]["image_bytes"]
    return Reply(value=json.dumps({"outputs": [[len(i["b64"]), 1] for i in images]}).encode())


def busy(retry_after: float | None = None) -> Reply:
    error = ClientError("busy", "UNAVAILABLE", 503)
    return Reply(error=error, retry=True, retry_after=retry_after)


def posts(steps: list) -> list[RestCall]:
    return [step for step in steps if isinstance(step, RestCall) and step.method == "POST"]


def test_images_go_in_several_requests_and_come_back_in_order() -> None:
    images = [b"x" * 3 * length for length in (1, 2, 3, 4, 5)]
    embeddings, steps = drive(operations(batch_size=2).embed(images), embedding_server)
    np.testing.assert_array_equal(embeddings[:, 0], [4, 8, 12, 16, 20])
    assert embeddings.dtype == np.float32
    assert len(posts(steps)) == 3


def test_requests_are_bounded_in_bytes() -> None:
    images = [b"x" * 600] * 4
    _, steps = drive(operations(max_bytes=1300).embed(images), embedding_server)
    sizes = [len(json.loads(post.body)["inputs"]["image_bytes"]) for post in posts(steps)]
    assert sizes == [2, 2]


def test_no_images_give_an_empty_array_of_the_right_width() -> None:
    embeddings, _ = drive(operations().embed([]), embedding_server)
    assert embeddings.shape == (0, 2)
    assert embeddings.dtype == np.float32


def test_metadata_is_asked_for_once() -> None:
    client = operations()
    drive(client.embed([b"x"]), embedding_server)
    _, steps = drive(client.embed([b"x"]), embedding_server)
    assert [step.method for step in steps] == ["POST"]


def test_busy_server_is_asked_again_after_longer_and_longer_pauses() -> None:
    replies = iter([busy(), busy(), busy(), Reply(value=json.dumps(METADATA).encode())])
    metadata, steps = drive(operations().metadata(), lambda call: next(replies))
    assert metadata.version == 3
    pauses = [step.seconds for step in steps if isinstance(step, Pause)]
    assert len(pauses) == 3
    assert all(0 <= pause <= 0.1 * 2**n for n, pause in enumerate(pauses))


def test_retry_after_is_honoured() -> None:
    replies = iter([busy(retry_after=7.5), Reply(value=json.dumps(METADATA).encode())])
    _, steps = drive(operations().metadata(), lambda call: next(replies))
    assert [step.seconds for step in steps if isinstance(step, Pause)] == [7.5]


def test_gives_up_after_the_last_attempt_without_a_pause() -> None:
    taken = []

    def answer(call: RestCall) -> Reply:
        taken.append(call)
        return busy()

    with pytest.raises(ClientError, match="busy"):
        drive(operations(attempts=3).metadata(), answer)
    assert len(taken) == 3


def test_refused_request_is_not_sent_again() -> None:
    taken = []

    def answer(call: RestCall) -> Reply:
        taken.append(call)
        return Reply(error=ClientError("no such model", "NOT_FOUND", 404))

    with pytest.raises(ClientError, match="no such model") as caught:
        drive(operations().status(), answer)
    assert (caught.value.code, caught.value.status) == ("NOT_FOUND", 404)
    assert len(taken) == 1


@pytest.mark.parametrize(
    ("code", "ready"), [("NOT_FOUND", False), ("UNAVAILABLE", False), (None, True)]
)
def test_ready_asks_once(code: str | None, ready: bool) -> None:
    reply = Reply(value=b"{}") if code is None else Reply(error=ClientError("", code), retry=True)
    answer, steps = drive(operations().ready(), lambda call: reply)
    assert answer is ready
    assert len(steps) == 1


def test_ready_does_not_hide_a_wrong_token() -> None:
    reply = Reply(error=ClientError("token", "UNAUTHENTICATED", 401))
    with pytest.raises(ClientError, match="token"):
        drive(operations().ready(), lambda call: reply)


def test_unknown_signature_is_named_with_those_that_exist() -> None:
    with pytest.raises(ClientError, match=r"'nope'.*embed_bytes"):
        drive(operations().predict("nope", {}), embedding_server)


def test_teaching_needs_a_label_for_each_image() -> None:
    with pytest.raises(ValueError, match="2 images, 1 labels"):
        drive(operations().teach([b"a", b"b"], ["cat"], None), embedding_server)


def test_rows_are_read_page_by_page() -> None:
    def row(number: int) -> dict:
        return {"id": -number, "label": "cat", "source": "a", "time": 1.0}

    pages = {
        None: {"rows": [row(2), row(3)], "next_after": -3},
        "-3": {"rows": [row(4)]},
    }

    def answer(call: RestCall) -> Reply:
        after = dict(parse_qsl(urlsplit(call.path).query)).get("after")
        return Reply(value=json.dumps(pages[after]).encode())

    rows, steps = drive(operations().rows(2, None), answer)
    assert [found.id for found in rows] == [-2, -3, -4]
    assert len(steps) == 2


def test_forgetting_takes_an_id_or_a_label() -> None:
    with pytest.raises(ValueError, match="either an id or a label"):
        drive(operations().forget(None, None), embedding_server)
