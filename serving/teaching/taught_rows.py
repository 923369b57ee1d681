"""Taught rows on disk: one SQLite file a model, which holds whatever was committed after a crash.

Write-ahead log with `synchronous=FULL`: a commit returns once its pages are flushed
(https://www.sqlite.org/pragma.html#pragma_synchronous). The file is locked for one process, and
private to its user. What is deleted is overwritten with zeros.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import grpc
import numpy as np

from serving.errors import ServingError

FORMAT = 1
# Rows of the bank are numbered from 0, and -1 stands for no row: taught rows start at -2.
FIRST_ID = -2
RETRY_SECONDS = 5.0
SCHEMA = """
CREATE TABLE rows (
    id INTEGER PRIMARY KEY,
    label TEXT NOT NULL,
    source TEXT NOT NULL,
    time REAL NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    image BLOB NOT NULL
);
CREATE INDEX rows_by_label ON rows (label);
CREATE TABLE embeddings (
    row_id INTEGER NOT NULL REFERENCES rows ON DELETE CASCADE,
    fingerprint TEXT NOT NULL,
    embedding BLOB NOT NULL,
    PRIMARY KEY (row_id, fingerprint)
) WITHOUT ROWID;
CREATE TABLE counter (next_id INTEGER NOT NULL);
"""


@dataclasses.dataclass(frozen=True)
class NewRow:
    """A labelled image to be taught: encoded bytes, class name, and where it comes from."""

    image: bytes
    label: str
    source: str

    @property
    def digest(self) -> bytes:
        """SHA-256 of the encoded bytes, by which an image is known again."""
        return hashlib.sha256(self.image).digest()


@dataclasses.dataclass(frozen=True)
class StoredRow:
    """A taught row: id (-2 and downwards, in the order of teaching), time in seconds since 1970."""

    id: int
    label: str
    source: str
    time: float


class TaughtRows:
    """The rows that one model was taught. Its methods may be called from any thread.

    An image is one row: adding it again leaves the row as it is, with another label relabels it.

    Raises:
        ServingError: FAILED_PRECONDITION if another process has the file or it is of another
            format; UNAVAILABLE if the disk refuses. What may pass, such as a full disk or another
            server that is about to stop, has a `retry_after`.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.RLock()
        with self._errors():
            # SQLite gives its log the mode that the file has.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            path.chmod(0o600)
            self._connection = sqlite3.connect(
                path, timeout=0.0, check_same_thread=False, isolation_level=None
            )
        try:
            with self._errors():
                self._open()
        except ServingError:
            self._connection.close()
            raise

    @classmethod
    def of_model(cls, folder: Path, model: str) -> TaughtRows:
        """The rows of a model by its name, which need not be fit for a path."""
        return cls(folder / f"{quote(model, safe='')}.sqlite3")

    def _open(self) -> None:
        # Exclusive: a second server would not see what this one teaches its model.
        for pragma in (
            "locking_mode=EXCLUSIVE",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            self._connection.execute(f"PRAGMA {pragma}")
        with self._transaction():
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            tables = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if version == 0 and tables == (0,):
                for statement in SCHEMA.split(";"):
                    self._connection.execute(statement)
                self._connection.execute("INSERT INTO counter VALUES (?)", (FIRST_ID,))
                self._connection.execute(f"PRAGMA user_version={FORMAT}")
            elif version != FORMAT:
                raise ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"{self._path} has taught rows of another format. "
                    f"Received: {version}, expected: {FORMAT}",
                )
        self.scrub()

    def scrub(self) -> None:
        """Empties the write-ahead log, in which deleted rows may still stand."""
        with self._lock, self._errors():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            locked = "locked" in reason
            raise ServingError(
                grpc.StatusCode.FAILED_PRECONDITION if locked else grpc.StatusCode.UNAVAILABLE,
                f"Another server uses the taught rows in {self._path.name}"
                if locked
                else f"The taught rows in {self._path.name} cannot be read or written: {reason}",
                # Other errors than these are of the file, and stay.
                retry_after=RETRY_SECONDS
                if isinstance(error, OSError | sqlite3.OperationalError)
                else None,
            ) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # A failed COMMIT may have rolled back already.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Joins the calls inside to one commit; on an error none of them has happened."""
        with self._lock, self._errors(), self._transaction():
            yield

    def __len__(self) -> int:
        return self.count()

    def count(self, label: str | None = None) -> int:
        """How many rows there are, of a label or of all."""
        with self._lock, self._errors():
            where, values = _of_label(label)
            found = self._connection.execute(f"SELECT count(*) FROM rows WHERE {where}", values)
            return found.fetchone()[0]

    def id_of(self, digest: bytes) -> int | None:
        """The row that holds the image of that digest."""
        with self._lock, self._errors():
            found = self._connection.execute("SELECT id FROM rows WHERE digest=?", (digest,))
            row = found.fetchone()
            return None if row is None else row[0]

    def add(self, row: NewRow) -> int:
        """The id of the row, new or known, which now has this label; inside a transaction."""
        known = self.id_of(row.digest)
        if known is not None:
            self._connection.execute("UPDATE rows SET label=? WHERE id=?", (row.label, known))
            return known
        (row_id,) = self._connection.execute(
            "UPDATE counter SET next_id=next_id-1 RETURNING next_id+1"
        ).fetchone()
        self._connection.execute(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)",
            (row_id, row.label, row.source, time.time(), row.digest, row.image),
        )
        return row_id

    def delete(self, row_ids: Iterable[int]) -> None:
        """Deletes rows and their embeddings; inside a transaction."""
        self._connection.executemany("DELETE FROM rows WHERE id=?", [(row,) for row in row_ids])

    def put_embeddings(self, fingerprint: str, embeddings: dict[int, np.ndarray]) -> None:
        """Keeps rows' embeddings, float32 [d], by one encoder; inside a transaction."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)",
            [
                (row_id, fingerprint, np.asarray(embedding, "<f4").tobytes())
                for row_id, embedding in embeddings.items()
            ],
        )

    def keep_embeddings_of(self, fingerprints: Iterable[str]) -> None:
        """Deletes the embeddings by all other encoders; inside a transaction."""
        kept = list(fingerprints)
        places = ",".join("?" * len(kept))
        self._connection.execute(
            f"DELETE FROM embeddings WHERE fingerprint NOT IN ({places})",
            kept,
        )

    def all_rows(self) -> list[StoredRow]:
        """Every row in the order of teaching."""
        return self.page(after=None, limit=-1)

    def page(self, after: int | None, limit: int, label: str | None = None) -> list[StoredRow]:
        """At most `limit` rows, of a label or of all, in the order of teaching after id `after`."""
        with self._lock, self._errors():
            where, values = _of_label(label)
            found = self._connection.execute(
                f"SELECT id, label, source, time FROM rows WHERE {where} AND id < ? "
                "ORDER BY id DESC LIMIT ?",
                (*values, 0 if after is None else after, limit),
            )
            return [StoredRow(*row) for row in found]

    def read(self, row_id: int) -> tuple[StoredRow, bytes] | None:
        """A row and its image; None if there is no such row."""
        return self._read("id = ?", row_id)

    def read_next(self, after: int | None, label: str | None) -> tuple[StoredRow, bytes] | None:
        """The first row, of a label or of all, after id `after`, and its image; None at the end."""
        where, values = _of_label(label)
        return self._read(f"{where} AND id < ?", *values, 0 if after is None else after)

    def _read(self, where: str, *values: int | str) -> tuple[StoredRow, bytes] | None:
        with self._lock, self._errors():
            row = self._connection.execute(
                f"SELECT id, label, source, time, image FROM rows WHERE {where} "
                "ORDER BY id DESC LIMIT 1",
                values,
            ).fetchone()
        return None if row is None else (StoredRow(*row[:4]), row[4])

    def images(self, row_ids: list[int]) -> tuple[list[int], list[bytes]]:
        """The images of those rows that exist: their ids and the encoded bytes."""
        found = [(row_id, self.read(row_id)) for row_id in row_ids]
        kept = [(row_id, row[1]) for row_id, row in found if row is not None]
        return [row_id for row_id, _ in kept], [image for _, image in kept]

    def embeddings(self, fingerprint: str) -> dict[int, np.ndarray]:
        """The embeddings by one encoder, float32 [d] each, by row; rows may be missing."""
        with self._lock, self._errors():
            found = self._connection.execute(
                "SELECT row_id, embedding FROM embeddings WHERE fingerprint=?", (fingerprint,)
            )
            return {row_id: np.frombuffer(blob, "<f4") for row_id, blob in found}

    def close(self) -> None:
        """Closes the file and gives up its lock."""
        with self._lock:
            self._connection.close()


def _of_label(label: str | None) -> tuple[str, tuple[str, ...]]:
    """A condition of SQL, and its values."""
    return ("1", ()) if label is None else ("label = ?", (label,))
