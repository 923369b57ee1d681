"""Teaches the loaded versions of one model while they serve.

A row is embedded by every loaded version, committed to disk, assigned to the versions' graphs, and
only then acknowledged. One thread does so for all requests that came in meanwhile: they share a
batch, a commit and an assignment.
"""

from __future__ import annotations

import dataclasses
import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future

import grpc
import numpy as np

from serving.engine.servable import Servable
from serving.errors import ServingError
from serving.teaching.export_facts import read_export_facts
from serving.teaching.new_rows import RowsRefusedError
from serving.teaching.taught_rows import NewRow, TaughtRows
from serving.teaching.taught_version import TaughtVersion

COMMITTED_AT_ONCE = 256
# Requests that may wait; each holds the images of one request body.
QUEUED = 64

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Request:
    """What somebody waits for: rows to be taught, or a row or a label to be forgotten."""

    rows: Sequence[NewRow] = ()
    forgotten_id: int | None = None
    forgotten_label: str | None = None
    done: Future = dataclasses.field(default_factory=Future)


@dataclasses.dataclass
class _Group:
    """Requests that are committed together.

    `rows` is what the model will hold then, `added` each new row's digest, `embeddings` each
    image's embedding by every version, by digest.
    """

    requests: list[_Request]
    rows: dict[int, tuple[str, str]]
    embeddings: dict[bytes, list[np.ndarray]] = dataclasses.field(default_factory=dict)
    added: dict[int, bytes] = dataclasses.field(default_factory=dict)


class Teacher:
    """Keeps one model's taught rows on disk and in all of its loaded versions.

    Args:
        store: The rows on disk; closed with the teacher.
        max_rows: How many rows the model may hold.
    """

    def __init__(self, store: TaughtRows, max_rows: int) -> None:
        self.store = store
        self._max_rows = max_rows
        self._rows = {row.id: (row.label, row.source) for row in store.all_rows()}
        self._versions: list[TaughtVersion] = []
        self._lock = threading.Lock()
        self._requests: queue.Queue[_Request | None] = queue.Queue(QUEUED)
        self._thread = threading.Thread(target=self._work, name="teacher", daemon=True)
        self._thread.start()

    def attach(self, servable: Servable) -> None:
        """Gives a version that is about to serve all rows, embedded by its own encoder.

        A model that cannot be taught is left as it is.

        Raises:
            ServingError: The rows cannot be embedded, or not be read.
        """
        facts = read_export_facts(servable.description)
        if facts is None or facts.taught is None:
            return
        version = TaughtVersion(servable, facts)
        # Without the lock, for it may take long. What is taught meanwhile is caught up with below.
        with self._lock:
            ids = list(self._rows)
        self._embed_missing(version, ids)
        with self._lock:
            self._embed_missing(version, list(self._rows))
            version.show(self._rows, self.store.embeddings(facts.fingerprint))
            self._versions.append(version)
            with self.store.transaction():
                self.store.keep_embeddings_of({one.facts.fingerprint for one in self._versions})

    def detach(self, servable: Servable) -> None:
        """Forgets a version that is about to be closed."""
        with self._lock:
            self._versions = [one for one in self._versions if one.servable is not servable]

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self._requests.qsize()

    def teach(self, rows: Sequence[NewRow]) -> Future[list[int]]:
        """Teaches all of the rows or none; the future has their ids, once they are visible.

        It raises RowsRefusedError for images that cannot be embedded, ServingError otherwise.
        """
        return self._enqueue(_Request(rows=rows))

    def forget(self, row_id: int) -> Future[int]:
        """Deletes a row; the future has how many there were, 0 or 1."""
        return self._enqueue(_Request(forgotten_id=row_id))

    def forget_label(self, label: str) -> Future[int]:
        """Deletes all rows of a label; the future has how many there were."""
        return self._enqueue(_Request(forgotten_label=label))

    def close(self) -> None:
        """Finishes what was asked for, and closes the store."""
        self._requests.put(None)
        self._thread.join()
        self.store.close()

    def _enqueue(self, request: _Request) -> Future:
        try:
            self._requests.put_nowait(request)
        except queue.Full:
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE,
                "Too many requests to teach are waiting; try again later",
                retry_after=1,
            ) from None
        return request.done

    def _work(self) -> None:
        open_for_more = True
        while open_for_more and (request := self._requests.get()) is not None:
            requests = [request]
            # What has come since the last commit goes together; what comes from now on waits.
            for _ in range(self._requests.qsize()):
                following = self._requests.get()
                if following is None:
                    open_for_more = False
                    break
                requests.append(following)
            # Whoever gave up waiting is dropped; from here on nobody can.
            requests = [one for one in requests if one.done.set_running_or_notify_cancel()]
            try:
                with self._lock:
                    self._answer(_Group(requests, dict(self._rows)))
            except Exception as error:  # whatever it is, those who wait must hear of it
                if not isinstance(error, ServingError):
                    log.exception("Teaching failed")
                for one in requests:
                    if not one.done.done():
                        one.done.set_exception(error)

    def _answer(self, group: _Group) -> None:
        self._embed(group)
        pending = [request for request in group.requests if not request.done.done()]
        with self.store.transaction():
            results = [self._written(request, group) for request in pending]
        self._rows = group.rows
        for place, version in enumerate(self._versions):
            new = {row: group.embeddings[key][place] for row, key in group.added.items()}
            version.show(self._rows, new)
        if any(not request.rows for request in pending):
            self._scrub()
        for request, result in zip(pending, results, strict=True):
            if isinstance(result, ServingError):
                request.done.set_exception(result)
            else:
                request.done.set_result(result)

    def _scrub(self) -> None:
        try:
            self.store.scrub()
        except ServingError as error:
            # They are forgotten all the same, and leave the file with the next ones or at the end.
            log.warning("Forgotten rows may still stand in the file: %s", error.message)

    def _embed(self, group: _Group) -> None:
        """Embeds all images of the group; answers the requests of which one cannot be."""
        # The known ones, too: a request of the same group may delete them first.
        images = {row.digest: row.image for request in group.requests for row in request.rows}
        answers = [version.embed(list(images.values())) for version in self._versions]
        reasons = {}
        for digest, *embeddings in zip(images, *answers, strict=True):
            errors = [one for one in embeddings if isinstance(one, ServingError)]
            if errors:
                reasons[digest] = errors[0].message
            else:
                group.embeddings[digest] = embeddings
        for request in group.requests:
            refused = {
                index: reasons[row.digest]
                for index, row in enumerate(request.rows)
                if row.digest in reasons
            }
            if refused:
                request.done.set_exception(RowsRefusedError(refused, len(request.rows)))

    def _written(self, request: _Request, group: _Group) -> list[int] | int | ServingError:
        """Writes one request within the group's transaction; returns what to answer."""
        if request.rows:
            if not self._versions:
                return ServingError(
                    grpc.StatusCode.UNAVAILABLE,
                    "No version of the model is loaded; try again later",
                )
            new = sum(self.store.id_of(row.digest) is None for row in request.rows)
            if len(group.rows) + new > self._max_rows:
                return ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"A model holds at most {self._max_rows} taught rows, and this one has "
                    f"{len(group.rows)}. Received: {new} more",
                )
            return [self._added(row, group) for row in request.rows]
        forgotten = [
            row
            for row, (label, _) in group.rows.items()
            if row == request.forgotten_id or label == request.forgotten_label
        ]
        self.store.delete(forgotten)
        for row in forgotten:
            del group.rows[row]
        return len(forgotten)

    def _added(self, row: NewRow, group: _Group) -> int:
        known = self.store.id_of(row.digest)
        row_id = self.store.add(row)
        if known is None:
            group.added[row_id] = row.digest
            for version, embedding in zip(
                self._versions, group.embeddings[row.digest], strict=True
            ):
                self.store.put_embeddings(version.facts.fingerprint, {row_id: embedding})
            group.rows[row_id] = (row.label, row.source)
        else:
            group.rows[row_id] = (row.label, group.rows[row_id][1])
        return row_id

    def _embed_missing(self, version: TaughtVersion, ids: list[int]) -> None:
        """Embeds the rows that the version's encoder has not embedded yet, and keeps that."""
        fingerprint = version.facts.fingerprint
        known = self.store.embeddings(fingerprint).keys()
        missing = [row for row in ids if row not in known]
        for start in range(0, len(missing), COMMITTED_AT_ONCE):
            batch, images = self.store.images(missing[start : start + COMMITTED_AT_ONCE])
            embedded = {}
            for row, result in zip(batch, version.embed(images), strict=True):
                if isinstance(result, ServingError):
                    # One image must not keep a new version from serving.
                    log.warning("Taught row %d is left out: %s", row, result.message)
                else:
                    embedded[row] = result
            with self.store.transaction():
                self.store.put_embeddings(fingerprint, embedded)
