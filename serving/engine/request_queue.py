"""Requests that wait, and which of them make the next batch."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from serving.engine.batching_settings import BatchingSettings

Answer = dict[str, np.ndarray]


@dataclasses.dataclass(eq=False, slots=True)
class Request:
    """What waits for an answer, or for the error instead of one.

    Requests of an equal `kind` may be joined, None with none. `first_row` is where its
    rows stand in the request that it is a part of.
    """

    signature_name: str
    inputs: Mapping[str, np.ndarray]
    outputs: tuple[str, ...]
    rows: int
    kind: tuple | None
    future: asyncio.Future[Answer | BaseException]
    arrived: float
    first_row: int = 0

    @property
    def key(self) -> object:
        """What it is queued under."""
        return self.kind or self


class RequestQueue:
    """A queue for each kind of request, in turn. Times are those of time.monotonic()."""

    def __init__(self, settings: BatchingSettings) -> None:
        self._settings = settings
        # In the order in which keys get their turn; what is left of one goes to the end.
        self._queues: dict[object, collections.deque[Request]] = {}
        self._rows = 0
        # Until when a batch waits for so many rows: see BatchingSettings.gather_share.
        self._gather_until = 0.0
        self._gather_rows = 0

    @property
    def rows(self) -> int:
        """Rows that wait; 0 where no request does."""
        return self._rows

    def add(self, request: Request) -> None:
        """Takes a request, of at most max_batch_size rows if it may be joined."""
        self._queues.setdefault(request.key, collections.deque()).append(request)
        self._rows += request.rows

    def add_first(self, requests: Iterable[Request]) -> None:
        """Puts requests in front of all others, each to run alone."""
        others, self._queues = self._queues, {}
        for request in requests:
            request.kind = None
            self.add(request)
        self._queues |= others

    def remove(self, request: Request) -> None:
        """Takes a request out, if it waits here."""
        queue = self._queues.get(request.key)
        if queue and request in queue:
            queue.remove(request)
            self._rows -= request.rows
            if not queue:
                del self._queues[request.key]

    def take(self, now: float) -> list[Request]:
        """Takes the next batch that need not wait any longer; empty if there is none."""
        key = next((key for key, queue in self._queues.items() if self._due(queue, now)), None)
        if key is None:
            return []
        queue = self._queues.pop(key)
        batch = [queue.popleft()]
        rows = batch[0].rows
        while queue and rows + queue[0].rows <= self._settings.max_batch_size:
            batch.append(queue.popleft())
            rows += batch[-1].rows
        if queue:
            self._queues[key] = queue
        self._rows -= rows
        return batch

    def due_time(self) -> float:
        """When a batch of those that wait is due, should nobody join them."""
        first = min(queue[0].arrived for queue in self._queues.values())
        return max(first + self._settings.batch_timeout, self._gather_until)

    def gather(self, rows: int, seconds: float, now: float) -> None:
        """Lets the next batch wait for as many rows as a run of so many seconds has answered."""
        self._gather_rows = rows + self._rows
        self._gather_until = now + self._settings.gather_share * seconds

    def _due(self, queue: collections.deque[Request], now: float) -> bool:
        if queue[0].kind is None:
            return True
        if sum(request.rows for request in queue) >= self._settings.max_batch_size:
            return True
        gathered = now >= self._gather_until or self._rows >= self._gather_rows
        return gathered and now - queue[0].arrived >= self._settings.batch_timeout
