"""Teaching loaded versions: what is acknowledged is on disk and in every answer."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator

import grpc
import numpy as np
import pytest

from serving.engine.servable import Servable
from serving.errors import ServingError
from serving.teaching.new_rows import RowsRefusedError
from serving.teaching.taught_rows import NewRow, TaughtRows
from serving.teaching.teacher import Teacher

BLUE = (30, 30, 200)
RED = (200, 30, 30)


@pytest.fixture(scope="module")
def servables(exports: pathlib.Path) -> list[Servable]:
    return [Servable(exports / "colours" / version) for version in "12"]


@pytest.fixture
def store_path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "rows.sqlite3"


@pytest.fixture
def teacher(store_path: pathlib.Path, servables: list[Servable]) -> Iterator[Teacher]:
    teacher = Teacher(TaughtRows(store_path), max_rows=20)
    teacher.attach(servables[0])
    yield teacher
    teacher.close()
    # The servables are shared: take out what was taught.
    for servable in servables:
        empty = Teacher(TaughtRows(store_path.with_name("empty.sqlite3")), max_rows=1)
        empty.attach(servable)
        empty.close()


@pytest.fixture
def blue_rows(coloured_png) -> list[NewRow]:
    return [NewRow(coloured_png(BLUE, n), "blue", f"blue/{n}.png") for n in range(3)]


def answer(servable: Servable, kind: str, image: bytes) -> dict[str, list]:
    outputs = servable.run(f"{kind}_bytes", {"image_bytes": np.array([image], object)})
    return {alias: values[0].tolist() for alias, values in outputs.items()}


def test_new_class_shows_at_once(
    teacher: Teacher, servables: list[Servable], blue_rows: list[NewRow], coloured_png
) -> None:
    query = coloured_png(BLUE, 99)
    assert b"blue" not in answer(servables[0], "classify", query)["classes"]
    ids = teacher.teach(blue_rows).result()
    assert ids == [-2, -3, -4]
    assert answer(servables[0], "classify", query)["classes"][0] == b"blue"
    neighbours = answer(servables[0], "neighbours", query)
    assert set(neighbours["ids"][:3]) == set(ids)
    assert neighbours["ids"][3] >= 0
    assert neighbours["labels"][:3] == [b"blue"] * 3
    assert set(neighbours["sources"][:3]) == {b"blue/0.png", b"blue/1.png", b"blue/2.png"}


def test_row_of_an_exported_class_joins_it(
    teacher: Teacher, servables: list[Servable], coloured_png
) -> None:
    image = coloured_png(BLUE, 0)
    (row,) = teacher.teach([NewRow(image, "red", "")]).result()
    classes = answer(servables[0], "classify", image)["classes"]
    assert sorted(classes) == [b"green", b"red"]
    neighbours = answer(servables[0], "neighbours", image)
    assert (neighbours["ids"][0], neighbours["labels"][0], neighbours["label_ids"][0]) == (
        row,
        b"red",
        0,
    )


def test_forgotten_rows_are_gone_at_once(
    teacher: Teacher, servables: list[Servable], blue_rows: list[NewRow]
) -> None:
    ids = teacher.teach(blue_rows).result()
    assert teacher.forget(ids[1]).result() == 1
    assert teacher.forget(ids[1]).result() == 0
    found = answer(servables[0], "neighbours", blue_rows[1].image)
    assert ids[1] not in found["ids"]
    assert {ids[0], ids[2]} <= set(found["ids"])
    assert teacher.forget_label("blue").result() == 2
    assert b"blue" not in answer(servables[0], "classify", blue_rows[1].image)["classes"]
    assert len(teacher.store) == 0


def test_image_taught_again_is_relabelled(
    teacher: Teacher, servables: list[Servable], blue_rows: list[NewRow]
) -> None:
    ids = teacher.teach(blue_rows).result()
    relabelled = [NewRow(blue_rows[0].image, "sky", "elsewhere")]
    assert teacher.teach(relabelled).result() == ids[:1]
    found = answer(servables[0], "neighbours", blue_rows[0].image)
    assert dict(zip(found["ids"], found["labels"], strict=True))[ids[0]] == b"sky"
    assert len(teacher.store) == 3


def test_broken_image_fails_its_request_alone(
    teacher: Teacher, blue_rows: list[NewRow], coloured_png
) -> None:
    broken = NewRow(b"no image", "blue", "")
    futures = [
        teacher.teach(blue_rows[:1]),
        teacher.teach([blue_rows[1], broken]),
        teacher.teach(blue_rows[2:]),
    ]
    with pytest.raises(RowsRefusedError, match="1 of 2 rows") as caught:
        futures[1].result()
    assert list(caught.value.reasons) == [1]
    assert len(futures[0].result() + futures[2].result()) == 2
    labels = [row.source for row in teacher.store.all_rows()]
    assert labels == ["blue/0.png", "blue/2.png"]


def test_more_rows_than_allowed_are_refused_whole(
    teacher: Teacher, servables: list[Servable], coloured_png
) -> None:
    rows = [NewRow(coloured_png(BLUE, n), "blue", "") for n in range(21)]
    with pytest.raises(ServingError, match="at most 20 taught rows") as caught:
        teacher.teach(rows).result()
    assert caught.value.code == grpc.StatusCode.FAILED_PRECONDITION
    assert len(teacher.store) == 0
    assert len(teacher.teach(rows[:20]).result()) == 20


def test_rows_are_there_after_a_restart(
    store_path: pathlib.Path, servables: list[Servable], blue_rows: list[NewRow], coloured_png
) -> None:
    teacher = Teacher(TaughtRows(store_path), max_rows=20)
    teacher.attach(servables[0])
    ids = teacher.teach(blue_rows).result()
    teacher.close()

    again = Servable(servables[0].path)
    assert answer(again, "neighbours", blue_rows[0].image)["ids"][0] >= 0
    teacher = Teacher(TaughtRows(store_path), max_rows=20)
    teacher.attach(again)
    assert answer(again, "neighbours", blue_rows[0].image)["ids"][0] == ids[0]
    # The counting goes on, too.
    assert teacher.teach([NewRow(coloured_png(RED, 9), "red", "")]).result() == [-5]
    teacher.close()
    again.close()


def test_another_encoder_embeds_the_rows_anew(
    teacher: Teacher, servables: list[Servable], blue_rows: list[NewRow]
) -> None:
    ids = teacher.teach(blue_rows).result()
    teacher.attach(servables[1])
    found = answer(servables[1], "neighbours", blue_rows[0].image)
    assert found["ids"][0] == ids[0]
    assert found["similarities"][0] == pytest.approx(1.0, abs=1e-5)
    # Both versions are loaded: what is taught now shows in both.
    new = NewRow(b"P6 8 8 255 ", "x", "")
    with pytest.raises(RowsRefusedError):
        teacher.teach([new]).result()
    teacher.forget(ids[0]).result()
    for servable in servables:
        assert ids[0] not in answer(servable, "neighbours", blue_rows[0].image)["ids"]
    teacher.detach(servables[1])
    teacher.forget(ids[1]).result()
    assert ids[1] in answer(servables[1], "neighbours", blue_rows[1].image)["ids"]


def test_stored_embeddings_are_used_again(
    teacher: Teacher, servables: list[Servable], blue_rows: list[NewRow], monkeypatch
) -> None:
    teacher.teach(blue_rows).result()
    teacher.detach(servables[0])
    again = Servable(servables[0].path)
    monkeypatch.setattr(again, "run", None)
    teacher.attach(again)
    monkeypatch.undo()
    assert answer(again, "neighbours", blue_rows[0].image)["ids"][0] == -2
    teacher.detach(again)
    again.close()


def test_model_that_and_tf_did_not_export_is_left_alone(
    store_path: pathlib.Path, servables: list[Servable], blue_rows
) -> None:
    class Other:
        description = None

    teacher = Teacher(TaughtRows(store_path), max_rows=20)
    teacher.attach(Other())
    with pytest.raises(ServingError, match="No version of the model is loaded"):
        teacher.teach(blue_rows).result()
    teacher.close()


def test_requests_that_wait_share_a_commit(
    teacher: Teacher, blue_rows: list[NewRow], coloured_png, monkeypatch
) -> None:
    commits = []
    transaction = teacher.store.transaction

    def counted():
        commits.append(1)
        return transaction()

    monkeypatch.setattr(teacher.store, "transaction", counted)
    rows = [NewRow(coloured_png(BLUE, n), "blue", "") for n in range(12)]
    with teacher._lock:  # the thread takes the first request and waits
        futures = [teacher.teach([row]) for row in rows]
    assert len({future.result()[0] for future in futures}) == 12
    assert len(commits) <= 2


def test_whoever_gave_up_is_dropped(teacher: Teacher, blue_rows: list[NewRow]) -> None:
    with teacher._lock:
        first = teacher.teach(blue_rows[:1])
        while not first.running():  # the thread has it, and waits for the lock
            time.sleep(0.001)
        given_up, waiting = teacher.teach(blue_rows[1:2]), teacher.teach(blue_rows[2:])
        assert given_up.cancel()
    assert len(first.result() + waiting.result()) == 2
    assert [row.source for row in teacher.store.all_rows()] == ["blue/0.png", "blue/2.png"]


def test_disk_that_refuses_is_told_and_nothing_shows(
    teacher: Teacher, servables: list[Servable], blue_rows: list[NewRow], monkeypatch
) -> None:
    def full(row: NewRow) -> int:
        raise ServingError(grpc.StatusCode.UNAVAILABLE, "database or disk is full")

    with monkeypatch.context() as context:
        context.setattr(teacher.store, "add", full)
        with pytest.raises(ServingError, match="disk is full"):
            teacher.teach(blue_rows).result()
    assert min(answer(servables[0], "neighbours", blue_rows[0].image)["ids"]) >= 0
    assert teacher.teach(blue_rows).result() == [-2, -3, -4]
