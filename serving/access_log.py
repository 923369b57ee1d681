"""The access log: a line of JSON for each request, over REST and gRPC, refused ones too.

It tells who asked what and what became of it, never what was sent or answered.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime
import logging
import logging.handlers
import re
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import orjson

STANDARD_OUTPUT = "-"
_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)

_current: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("access_log_entry")


def note(**facts: Any) -> None:
    """Adds to the entry of the request that is being answered, if there is a log."""
    entry = _current.get(None)
    if entry is not None:
        entry.update(facts)


class AccessLog:
    """Writes the entries. A file that was moved away is made again, as `logrotate` expects."""

    def __init__(self, path: str) -> None:
        """Opens the file for appending; `STANDARD_OUTPUT` is no file.

        Raises:
            OSError: if it cannot be written.
        """
        self._handler: logging.Handler = (
            logging.StreamHandler(sys.stdout)
            if path == STANDARD_OUTPUT
            else logging.handlers.WatchedFileHandler(path, encoding="utf-8")
        )

    @contextlib.contextmanager
    def entry(self, given_id: str | None, **facts: Any) -> Iterator[dict[str, Any]]:
        """The entry of one request, to be added to; it is written when the block ends.

        Args:
            given_id: what the client calls the request; one is made up where it is no such name.
        """
        now, start = datetime.datetime.now(datetime.UTC), time.perf_counter()
        request_id = given_id if given_id and _ID.fullmatch(given_id) else uuid.uuid4().hex
        entry = {"time": now.isoformat(timespec="milliseconds"), "id": request_id} | facts
        token = _current.set(entry)
        try:
            yield entry
        finally:
            _current.reset(token)
            entry["milliseconds"] = round(1000 * (time.perf_counter() - start), 3)
            text = orjson.dumps(entry, default=str).decode()
            self._handler.handle(logging.makeLogRecord({"msg": text}))
