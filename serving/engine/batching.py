"""Concurrent requests to one signature, run as one batch."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import grpc
import numpy as np

from serving.engine import batch_arrays
from serving.engine.batching_settings import BatchingSettings
from serving.engine.servable import Servable
from serving.errors import ServingError

Answer = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class BatchRecord:
    """One run of a signature: for metrics.

    `rows` are those of its requests, `padded_rows` those that ran; 1 of each where there are no
    rows. `seconds` is the time in TensorFlow, `queue_seconds` how long the first request waited.
    """

    signature_name: str
    requests: int
    rows: int
    padded_rows: int
    seconds: float
    queue_seconds: float


@dataclasses.dataclass(eq=False, slots=True)
class _Request:
    """What waits for an answer. Requests of an equal `kind` may be joined, None with none."""

    signature_name: str
    inputs: Mapping[str, np.ndarray]
    outputs: tuple[str, ...]
    rows: int
    kind: tuple | None
    future: asyncio.Future
    arrived: float

    @property
    def key(self) -> object:
        return self.kind or self


class Batcher:
    """Joins and queues the requests to one loaded version. Belongs to the event loop."""

    def __init__(
        self,
        servable: Servable,
        settings: BatchingSettings,
        on_batch: Callable[[BatchRecord], None] | None = None,
    ) -> None:
        """`on_batch` is called on the event loop after each run."""
        self._servable = servable
        self._settings = settings
        self._on_batch = on_batch
        # In the order in which keys get their turn; what is left of one goes to the end.
        self._queues: dict[object, collections.deque[_Request]] = {}
        self._queued_rows = 0
        self._running = 0
        self._timer: asyncio.TimerHandle | None = None
        self._seconds_per_row = 0.0
        # Until when a batch waits for so many rows: see BatchingSettings.gather_share.
        self._gather_until = 0.0
        self._gather_rows = 0
        # By signature: the outputs that have a row for each row of the inputs, as far as is known.
        self._outputs_of_rows = {
            name: batch_arrays.aliases_of_rows(signature.outputs)
            for name, signature in servable.signatures.items()
            if batch_arrays.aliases_of_rows(signature.inputs) == {*signature.inputs} != set()
        }
        self._threads = concurrent.futures.ThreadPoolExecutor(
            settings.num_batch_threads, thread_name_prefix="batch"
        )

    @property
    def queued_rows(self) -> int:
        """Rows that wait; a request that is not joined counts as one."""
        return self._queued_rows

    async def run(
        self,
        signature_name: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str] | None = None,
        deadline: float | None = None,
    ) -> Answer:
        """As Servable.run, joined with other requests where that gives the same.

        `deadline` is a time of time.monotonic(). A task that is cancelled while it waits here takes
        its request out of the queue.

        Raises ServingError: UNAVAILABLE if the queue is full, DEADLINE_EXCEEDED, INVALID_ARGUMENT
        for inputs of different numbers of rows, and what Servable.run raises.
        """
        if deadline is not None and deadline <= time.monotonic():
            raise _deadline_exceeded()
        if outputs is None:
            signature = self._servable.signatures.get(signature_name)
            outputs = signature.outputs if signature else ()
        names = tuple(sorted({*outputs}))
        requests = self._requests(signature_name, inputs, names)
        self._admit(sum(request.rows for request in requests))
        for request in requests:
            self._enqueue(request)
        self._start_ready()
        try:
            # Event loops count time as time.monotonic() does.
            async with asyncio.timeout_at(deadline):
                answers = [await request.future for request in requests]
        except TimeoutError:
            raise _deadline_exceeded() from None
        finally:
            for request in requests:
                self._let_go(request)
        if len(answers) == 1:
            return answers[0]
        if self._rows(signature_name, inputs, names) is None:  # which the parts have shown
            return await self.run(signature_name, inputs, names, deadline)
        return batch_arrays.join(answers, padding=0)

    def close(self) -> None:
        """Waits for batches that run. Blocks: to be called in another thread."""
        self._threads.shutdown()

    def _requests(
        self, signature_name: str, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
    ) -> list[_Request]:
        loop, now = asyncio.get_running_loop(), time.monotonic()

        def request(inputs: Mapping[str, np.ndarray], rows: int, kind: tuple | None) -> _Request:
            future = loop.create_future()
            return _Request(signature_name, inputs, outputs, rows, kind, future, now)

        rows = self._rows(signature_name, inputs, outputs)
        if not rows:
            return [request(inputs, 1, None)]
        kind = (signature_name, outputs, batch_arrays.row_kinds(inputs))
        most = self._settings.max_batch_size
        if rows <= most:
            return [request(inputs, rows, kind)]
        sizes = [min(most, rows - start) for start in range(0, rows, most)]
        parts = batch_arrays.split(inputs, sizes)
        return [request(part, size, kind) for part, size in zip(parts, sizes, strict=True)]

    def _rows(
        self, signature_name: str, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
    ) -> int | None:
        """The rows of a request that may be joined; None or 0 for one that runs alone."""
        of_rows = self._outputs_of_rows.get(signature_name)
        if (
            self._settings.max_batch_size == 1
            or of_rows is None
            or not of_rows.issuperset(outputs)
            or inputs.keys() != self._servable.signatures[signature_name].inputs.keys()
        ):
            return None
        return batch_arrays.rows_of(inputs)

    def _admit(self, rows: int) -> None:
        # A request larger than the queue can only be served when nothing else waits.
        if self._queued_rows and self._queued_rows + rows > self._settings.max_queued_rows:
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE,
                f"{self._queued_rows} rows are waiting already, and at most "
                f"{self._settings.max_queued_rows} may. Try again later",
                retry_after=self._queued_rows * self._seconds_per_row,
            )

    def _enqueue(self, request: _Request) -> None:
        self._queues.setdefault(request.key, collections.deque()).append(request)
        self._queued_rows += request.rows

    def _let_go(self, request: _Request) -> None:
        """Takes back a request whose answer nobody waits for any more."""
        if request.future.done():
            if not request.future.cancelled():
                request.future.exception()  # marks it as seen
                return
        else:
            request.future.cancel()
        queue = self._queues.get(request.key)
        if queue and request in queue:
            queue.remove(request)
            self._queued_rows -= request.rows
            if not queue:
                del self._queues[request.key]

    def _start_ready(self) -> None:
        """Starts as many batches as there are free threads and batches that need not wait."""
        while self._running < self._settings.num_batch_threads:
            now = time.monotonic()
            key = next((key for key, queue in self._queues.items() if self._due(queue, now)), None)
            if key is None:
                break
            self._start(self._take(key), now)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._queues and self._running < self._settings.num_batch_threads:
            first = min(queue[0].arrived for queue in self._queues.values())
            due = max(first + self._settings.batch_timeout, self._gather_until)
            self._timer = asyncio.get_running_loop().call_at(due, self._start_ready)

    def _due(self, queue: collections.deque[_Request], now: float) -> bool:
        if queue[0].kind is None:
            return True
        if sum(request.rows for request in queue) >= self._settings.max_batch_size:
            return True
        gathered = now >= self._gather_until or self._queued_rows >= self._gather_rows
        return gathered and now - queue[0].arrived >= self._settings.batch_timeout

    def _take(self, key: object) -> list[_Request]:
        queue = self._queues.pop(key)
        batch = [queue.popleft()]
        rows = batch[0].rows
        while queue and rows + queue[0].rows <= self._settings.max_batch_size:
            batch.append(queue.popleft())
            rows += batch[-1].rows
        if queue:
            self._queues[key] = queue
        self._queued_rows -= rows
        return batch

    def _start(self, batch: list[_Request], now: float) -> None:
        self._running += 1
        loop = asyncio.get_running_loop()
        run = self._threads.submit(self._run, batch, now)
        run.add_done_callback(lambda run: loop.call_soon_threadsafe(self._finish, batch, run))

    def _run(self, batch: list[_Request], started: float) -> tuple[list[Answer], BatchRecord]:
        """Runs a batch, in a thread."""
        first = batch[0]
        rows = sum(request.rows for request in batch)
        size = rows if first.kind is None else self._settings.padded_size(rows)
        inputs = first.inputs
        if len(batch) > 1 or size > rows:
            inputs = batch_arrays.join([request.inputs for request in batch], size - rows)
        begin = time.monotonic()
        answer = self._servable.run(first.signature_name, inputs, first.outputs)
        record = BatchRecord(
            signature_name=first.signature_name,
            requests=len(batch),
            rows=rows,
            padded_rows=size,
            seconds=time.monotonic() - begin,
            queue_seconds=started - first.arrived,
        )
        if first.kind is not None:
            rowless = {name for name, array in answer.items() if array.shape[:1] != (size,)}
            if rowless:
                self._outputs_of_rows[first.signature_name] -= rowless
                if inputs is not first.inputs:
                    run = self._servable.run
                    return [run(r.signature_name, r.inputs, r.outputs) for r in batch], record
        if inputs is first.inputs:
            return [answer], record
        return batch_arrays.split(answer, [request.rows for request in batch]), record

    def _finish(self, batch: list[_Request], run: concurrent.futures.Future) -> None:
        self._running -= 1
        error = run.exception()
        if error is None:
            answers, record = run.result()
            for request, answer in zip(batch, answers, strict=True):
                if not request.future.done():
                    request.future.set_result(answer)
            self._learn(record, joinable=batch[0].kind is not None)
            if self._on_batch is not None:
                self._on_batch(record)
        elif len(batch) > 1:
            self._repeat_one_by_one(batch)
        elif not batch[0].future.done():
            batch[0].future.set_exception(error)
        self._start_ready()

    def _learn(self, record: BatchRecord, joinable: bool) -> None:
        # Mostly the last few batches: what comes now runs at their speed.
        self._seconds_per_row += 0.2 * (record.seconds / record.rows - self._seconds_per_row)
        if joinable and (record.requests > 1 or self._queues):
            self._gather_rows = record.rows + self._queued_rows
            self._gather_until = time.monotonic() + self._settings.gather_share * record.seconds

    def _repeat_one_by_one(self, batch: list[_Request]) -> None:
        """Puts the requests of a failed batch in front of the others, each to run alone."""
        others, self._queues = self._queues, {}
        for request in batch:
            if not request.future.done():
                request.kind = None
                self._enqueue(request)
        self._queues |= others


def _deadline_exceeded() -> ServingError:
    return ServingError(
        grpc.StatusCode.DEADLINE_EXCEEDED, "The answer was not ready before the deadline"
    )
