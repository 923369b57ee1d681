"""Taught rows on disk."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import grpc
import numpy as np
import pytest

from serving.errors import ServingError
from serving.teaching.taught_rows import NewRow, TaughtRows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows" / "m.sqlite3"


def add(store: TaughtRows, *rows: NewRow) -> list[int]:
    with store.transaction():
        return [store.add(row) for row in rows]


def cat(number: int, label: str = "cat") -> NewRow:
    return NewRow(b"image %d" % number, label, f"{number}.png")


def test_rows_survive_closing(path: Path) -> None:
    store = TaughtRows(path)
    ids = add(store, cat(1), cat(2))
    with store.transaction():
        store.put_embeddings("a", {ids[1]: np.array([0.5, -1], np.float32)})
    before = store.all_rows()
    store.close()

    store = TaughtRows(path)
    assert store.all_rows() == before
    assert [(row.id, row.label, row.source) for row in before] == [
        (-2, "cat", "1.png"),
        (-3, "cat", "2.png"),
    ]
    assert store.read(-3)[1] == b"image 2"
    embeddings = store.embeddings("a")
    np.testing.assert_array_equal(embeddings[-3], np.array([0.5, -1], np.float32))
    assert embeddings[-3].dtype == np.float32
    assert store.embeddings("b") == {}
    store.close()


def test_image_that_is_known_stays_one_row(path: Path) -> None:
    store = TaughtRows(path)
    first = add(store, cat(1))
    assert add(store, cat(1)) == first
    assert add(store, cat(1, "dog")) == first
    assert [row.label for row in store.all_rows()] == ["dog"]


def test_ids_are_never_given_twice(path: Path) -> None:
    store = TaughtRows(path)
    ids = add(store, cat(1), cat(2))
    with store.transaction():
        store.delete(ids)
    assert len(store) == 0
    assert add(store, cat(2)) == [-4]


def test_deleting_a_row_deletes_its_embeddings(path: Path) -> None:
    store = TaughtRows(path)
    (row,) = add(store, cat(1))
    with store.transaction():
        store.put_embeddings("a", {row: np.ones(2, np.float32)})
        store.delete([row])
    assert store.embeddings("a") == {}
    assert store.read(row) is None
    assert store.images([row]) == ([], [])


def test_embeddings_of_other_encoders_can_be_dropped(path: Path) -> None:
    store = TaughtRows(path)
    (row,) = add(store, cat(1))
    with store.transaction():
        for fingerprint in "abc":
            store.put_embeddings(fingerprint, {row: np.ones(2, np.float32)})
        store.keep_embeddings_of({"a", "c"})
    assert [bool(store.embeddings(fingerprint)) for fingerprint in "abc"] == [True, False, True]


def test_what_is_deleted_is_gone_from_the_files(path: Path) -> None:
    store = TaughtRows(path)
    ids = add(store, *[NewRow(b"secret %d" % n * 2000, "hidden label", "s.png") for n in range(5)])
    kept = add(store, cat(1))
    with store.transaction():
        store.delete(ids)
    store.scrub()
    # Still open: a killed server leaves these bytes behind.
    left = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"secret" not in left and b"hidden label" not in left
    assert b"image 1" in left
    assert [row.id for row in store.all_rows()] == kept


def test_files_are_private(path: Path) -> None:
    store = TaughtRows(path)
    add(store, cat(1))
    assert path.parent.stat().st_mode & 0o777 == 0o700
    files = list(path.parent.iterdir())
    assert len(files) > 1
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    store.close()
    path.chmod(0o644)
    TaughtRows(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_failed_transaction_leaves_nothing(path: Path) -> None:
    store = TaughtRows(path)
    with pytest.raises(RuntimeError), store.transaction():
        store.add(cat(1))
        raise RuntimeError
    assert len(store) == 0
    assert add(store, cat(2)) == [-2]


def test_pages_follow_each_other(path: Path) -> None:
    store = TaughtRows(path)
    ids = add(store, *[cat(n) for n in range(5)])
    first = store.page(None, 2)
    second = store.page(first[-1].id, 2)
    assert [row.id for row in first + second] == ids[:4]


def test_second_server_is_refused(path: Path) -> None:
    store = TaughtRows(path)
    with pytest.raises(ServingError, match="Another server uses the taught rows in m.sqlite3"):
        TaughtRows(path)
    store.close()
    TaughtRows(path).close()


def test_file_that_is_no_store_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"something else" * 100)
    with pytest.raises(ServingError, match="cannot be read") as caught:
        TaughtRows(path)
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE


def test_other_sqlite_file_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE rows (other)")
        other.commit()
    with pytest.raises(ServingError, match="of another format") as caught:
        TaughtRows(path)
    # What the file is will not pass.
    assert caught.value.retry_after is None


def test_file_that_cannot_be_opened_is_an_error_that_may_pass(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(ServingError, match=f"{path.name} cannot be read") as caught:
        TaughtRows(path)
    assert caught.value.retry_after is not None


@pytest.mark.parametrize("name", ["a b", "../../etc/passwd", "..", "/"])
def test_no_model_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    TaughtRows.of_model(tmp_path, name).close()
    assert [path.parent for path in tmp_path.rglob("*.sqlite3")] == [tmp_path]
