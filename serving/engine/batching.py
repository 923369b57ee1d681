"""Concurrent requests to one signature, run as one batch."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence

import grpc
import numpy as np

from serving.engine import batch_arrays
from serving.engine.batching_settings import BatchingSettings
from serving.engine.request_queue import Answer, Request, RequestQueue
from serving.engine.servable import Servable
from serving.errors import ServingError, deadline_exceeded


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


class Batcher:
    """Joins and queues the requests to one loaded version. Belongs to the event loop."""

    def __init__(
        self,
        servable: Servable,
        settings: BatchingSettings,
        on_batch: Callable[[BatchRecord], None] | None = None,
        *,
        slow: bool = False,
    ) -> None:
        """`on_batch` is called on the event loop after each run.

        With `slow`, requests run row by row and behind all others: see `slow_lane`. Then a batch
        size of 1 does not mean that they run as they are.
        """
        self._servable = servable
        self._call = functools.partial(servable.run, slow=True) if slow else servable.run
        self._settings = settings
        self._on_batch = on_batch
        self._joins = settings.max_batch_size > 1 or slow
        self._queue = RequestQueue(settings)
        self._running = 0
        self._timer: asyncio.TimerHandle | None = None
        self._seconds_per_row = 0.0
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
        return self._queue.rows

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
            raise deadline_exceeded()
        if outputs is None:
            signature = self._servable.signatures.get(signature_name)
            outputs = signature.outputs if signature else ()
        names = tuple(sorted({*outputs}))
        requests = self._requests(signature_name, inputs, names)
        self._admit(sum(request.rows for request in requests))
        for request in requests:
            self._queue.add(request)
        self._start_ready()
        answers: list[Answer] = []
        error: BaseException | None = None
        try:
            # Event loops count time as time.monotonic() does.
            async with asyncio.timeout_at(deadline):
                for request in requests:
                    result = await request.future
                    if isinstance(result, BaseException):
                        error = result
                        break
                    answers.append(result)
        except TimeoutError:
            raise deadline_exceeded() from None
        finally:
            for request in requests:
                self._let_go(request)
            # An error keeps the frames that it went through: were it kept by them, so would be the
            # inputs.
            del request, requests
            result = {}
        if error is not None:
            try:
                raise error
            finally:
                del error
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
    ) -> list[Request]:
        loop, now = asyncio.get_running_loop(), time.monotonic()

        def request(
            inputs: Mapping[str, np.ndarray], rows: int, kind: tuple | None, first_row: int = 0
        ) -> Request:
            future = loop.create_future()
            return Request(signature_name, inputs, outputs, rows, kind, future, now, first_row)

        rows = self._rows(signature_name, inputs, outputs)
        if not rows:
            return [request(inputs, 1, None)]
        kind = (signature_name, outputs, batch_arrays.row_kinds(inputs))
        most = self._settings.max_batch_size
        if rows <= most:
            return [request(inputs, rows, kind)]
        sizes = [min(most, rows - start) for start in range(0, rows, most)]
        parts = batch_arrays.split(inputs, sizes)
        starts = range(0, rows, most)
        return [
            request(part, size, kind, start)
            for part, size, start in zip(parts, sizes, starts, strict=True)
        ]

    def _rows(
        self, signature_name: str, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
    ) -> int | None:
        """The rows of a request that may be joined; None or 0 for one that runs alone."""
        of_rows = self._outputs_of_rows.get(signature_name)
        if (
            not self._joins
            or of_rows is None
            or not of_rows.issuperset(outputs)
            or inputs.keys() != self._servable.signatures[signature_name].inputs.keys()
        ):
            return None
        return batch_arrays.rows_of(inputs)

    def _admit(self, rows: int) -> None:
        # A request larger than the queue can only be served when nothing else waits.
        waiting = self._queue.rows
        if waiting and waiting + rows > self._settings.max_queued_rows:
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE,
                f"{waiting} rows are waiting already, and at most "
                f"{self._settings.max_queued_rows} may. Try again later",
                retry_after=waiting * self._seconds_per_row,
            )

    def _let_go(self, request: Request) -> None:
        """Takes back a request whose answer nobody waits for any more."""
        if request.future.done() and not request.future.cancelled():
            del request.future  # so that an error is not kept by the frame that ran the request
            return
        request.future.cancel()
        self._queue.remove(request)

    def _start_ready(self) -> None:
        """Starts as many batches as there are free threads and batches that need not wait."""
        while self._running < self._settings.num_batch_threads:
            now = time.monotonic()
            batch = self._queue.take(now)
            if not batch:
                break
            self._start(batch, now)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._queue.rows and self._running < self._settings.num_batch_threads:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._queue.due_time(), self._start_ready)

    def _start(self, batch: list[Request], now: float) -> None:
        self._running += 1
        loop = asyncio.get_running_loop()
        run = self._threads.submit(self._run, batch, now)
        run.add_done_callback(lambda run: loop.call_soon_threadsafe(self._finish, batch, run))

    def _run(self, batch: list[Request], started: float) -> tuple[list[Answer], BatchRecord]:
        """Runs a batch, in a thread."""
        first = batch[0]
        rows = sum(request.rows for request in batch)
        size = rows if first.kind is None else self._settings.padded_size(rows)
        inputs = first.inputs
        if len(batch) > 1 or size > rows:
            inputs = batch_arrays.join([request.inputs for request in batch], size - rows)
        begin = time.monotonic()
        try:
            answer = self._call(first.signature_name, inputs, first.outputs)
        except ServingError as error:
            if len(batch) == 1 and error.code is grpc.StatusCode.INVALID_ARGUMENT:
                raise self._of_row(first, error) from None
            raise
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
                    run = self._call
                    return [run(r.signature_name, r.inputs, r.outputs) for r in batch], record
        if inputs is first.inputs:
            return [answer], record
        return batch_arrays.split(answer, [request.rows for request in batch]), record

    def _of_row(self, request: Request, error: ServingError) -> ServingError:
        """The error with the number of the first row that fails alone, if there is one."""
        if request.kind is None:
            return error

        def run(start: int, end: int) -> ServingError | None:
            rows = {name: array[start:end] for name, array in request.inputs.items()}
            try:
                self._call(request.signature_name, rows, request.outputs)
            except ServingError as failed:
                return failed
            return None

        start, end, found = 0, request.rows, error if request.rows == 1 else None
        while end - start > 1:
            middle = (start + end) // 2
            if failed := run(start, middle):
                end, found = middle, failed
            else:
                start, found = middle, None
        found = found or run(start, end)
        if found is None:
            return error
        return ServingError(error.code, f"Row {request.first_row + start}: {found.message}")

    def _finish(self, batch: list[Request], run: concurrent.futures.Future) -> None:
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
            # Which of them is at fault shows when each runs alone.
            self._queue.add_first([request for request in batch if not request.future.done()])
        elif not batch[0].future.done():
            batch[0].future.set_result(error)
        self._start_ready()

    def _learn(self, record: BatchRecord, joinable: bool) -> None:
        # Mostly the last few batches: what comes now runs at their speed.
        self._seconds_per_row += 0.2 * (record.seconds / record.rows - self._seconds_per_row)
        if joinable and (record.requests > 1 or self._queue.rows):
            self._queue.gather(record.rows, record.seconds, time.monotonic())
