"""Joining concurrent requests, with a servable that records what it runs and waits when told."""

from __future__ import annotations

import asyncio
import pathlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from serving.engine.batching import Batcher, BatchRecord
from serving.engine.batching_settings import BatchingSettings
from serving.engine.servable import Servable
from serving.errors import ServingError


def _signature(outputs: dict[str, list | None]) -> meta_graph_pb2.SignatureDef:
    signature = meta_graph_pb2.SignatureDef()
    for tensors, shapes in ((signature.inputs, {"x": [None]}), (signature.outputs, outputs)):
        for alias, shape in shapes.items():
            tensors[alias].tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    return signature


class Recorder:
    """Doubles x; refuses negative values; every run waits while `gate` is closed."""

    def __init__(self) -> None:
        self.signatures = {
            "double": _signature({"y": [None]}),
            "other": _signature({"y": [None]}),
            "total": _signature({"total": []}),
            "unknown": _signature({"total": None}),
        }
        self.ran: list[list[float]] = []
        self.gate = threading.Event()
        self.gate.set()

    def run(self, signature_name: str, inputs: dict, outputs: object) -> dict[str, np.ndarray]:
        self.gate.wait(10)
        x = inputs["x"]
        self.ran.append(x.tolist())
        if np.any(x < 0):
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, f"negative: {x.tolist()}")
        if signature_name in ("total", "unknown"):
            return {"total": np.asarray(x.sum())}
        return {"y": 2 * x}


def _failure(recorder: Recorder, inputs: dict[str, np.ndarray], **settings: object) -> str:
    messages = []

    async def use(batcher: Batcher) -> None:
        with pytest.raises(ServingError) as caught:
            await batcher.run("double", inputs)
        messages.append(caught.value.message)

    _with_batcher(recorder, use, **settings)
    return messages[0]


@pytest.mark.parametrize("row", range(5))
def test_the_first_row_that_fails_is_named(recorder: Recorder, row: int) -> None:
    values = [1.0] * row + [-2.0] + [-3.0] * (4 - row)
    assert _failure(recorder, _x(*values)) == f"Row {row}: negative: [-2.0]"
    assert _failure(recorder, _x(*values), max_batch_size=2) == f"Row {row}: negative: [-2.0]"


def test_rows_that_fail_together_alone_have_no_number(recorder: Recorder) -> None:
    def run(signature_name: str, inputs: dict, outputs: object) -> dict[str, np.ndarray]:
        if len(inputs["x"]) > 3:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "too many")
        return {"y": inputs["x"]}

    recorder.run = run
    assert _failure(recorder, _x(1, 2, 3, 4)) == "too many"


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.gate.set()


def _x(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.array(values, np.float32)}


def _with_batcher(
    recorder: Recorder,
    use: Callable[[Batcher], Awaitable[None]],
    on_batch: Callable[[BatchRecord], None] | None = None,
    **settings: object,
) -> None:
    async def main() -> None:
        batcher = Batcher(recorder, BatchingSettings(**settings), on_batch)
        try:
            await asyncio.wait_for(use(batcher), 20)
        finally:
            recorder.gate.set()
            batcher.close()

    asyncio.run(main())


async def _blocked(batcher: Batcher, recorder: Recorder) -> asyncio.Task:
    """A request that holds the only thread until the gate opens."""
    recorder.gate.clear()
    task = asyncio.create_task(batcher.run("double", _x(0)))
    while batcher.queued_rows or not batcher._running:
        await asyncio.sleep(0)
    return task


async def _queued(batcher: Batcher, *requests: Awaitable) -> list[asyncio.Task]:
    tasks = [asyncio.create_task(request) for request in requests]
    await asyncio.sleep(0)
    return tasks


def test_a_single_request_runs_at_once(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        answer = await batcher.run("double", _x(1, 2))
        assert answer["y"].tolist() == [2, 4]

    _with_batcher(recorder, use)
    assert recorder.ran == [[1, 2]]


def test_requests_that_come_while_the_thread_is_busy_are_joined(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        first = await _blocked(batcher, recorder)
        tasks = await _queued(batcher, *(batcher.run("double", _x(i, i)) for i in range(1, 4)))
        assert batcher.queued_rows == 6
        recorder.gate.set()
        answers = [(await task)["y"].tolist() for task in tasks]
        assert answers == [[2, 2], [4, 4], [6, 6]]
        await first

    _with_batcher(recorder, use)
    assert recorder.ran == [[0], [1, 1, 2, 2, 3, 3]]


def test_a_batch_is_not_larger_than_allowed(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        await _blocked(batcher, recorder)
        tasks = await _queued(batcher, *(batcher.run("double", _x(i, i)) for i in range(1, 6)))
        recorder.gate.set()
        await asyncio.gather(*tasks)

    _with_batcher(recorder, use, max_batch_size=5)
    assert recorder.ran == [[0], [1, 1, 2, 2], [3, 3, 4, 4], [5, 5]]


def test_only_like_requests_are_joined_and_signatures_take_turns(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        await _blocked(batcher, recorder)
        tasks = await _queued(
            batcher,
            batcher.run("double", _x(1)),
            batcher.run("other", _x(2)),
            batcher.run("double", {"x": np.ones((1, 2), np.float32)}),
            batcher.run("double", {"x": np.ones(1, np.float64)}),
            batcher.run("double", _x(3)),
        )
        recorder.gate.set()
        await asyncio.gather(*tasks)

    _with_batcher(recorder, use)
    assert recorder.ran == [[0], [1, 3], [2], [[1, 1]], [1]]


def test_batches_are_padded_with_the_last_row(recorder: Recorder):
    records: list[BatchRecord] = []

    async def use(batcher: Batcher) -> None:
        answer = await batcher.run("double", _x(1, 2, 3))
        assert answer["y"].tolist() == [2, 4, 6]

    _with_batcher(recorder, use, records.append, max_batch_size=8, allowed_batch_sizes=(2, 4, 8))
    assert recorder.ran == [[1, 2, 3, 3]]
    (record,) = records
    assert (record.signature_name, record.requests) == ("double", 1)
    assert (record.rows, record.padded_rows) == (3, 4)
    assert 0 <= record.seconds < 5
    assert 0 <= record.queue_seconds < 5


def test_a_bad_request_fails_alone(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        await _blocked(batcher, recorder)
        tasks = await _queued(batcher, *(batcher.run("double", _x(i)) for i in (1, -2, 3)))
        recorder.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[0]["y"].tolist() == [2]
        assert answers[1].message == "negative: [-2.0]"
        assert answers[2]["y"].tolist() == [6]
        assert batcher.queued_rows == 0

    _with_batcher(recorder, use)
    assert recorder.ran == [[0], [1, -2, 3], [1], [-2], [3]]


def test_an_oversize_request_is_split_and_put_together(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        answer = await batcher.run("double", _x(*range(10)))
        assert answer["y"].tolist() == [2 * i for i in range(10)]

    _with_batcher(recorder, use, max_batch_size=4, max_queued_rows=4)
    assert recorder.ran == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_an_oversize_request_fails_as_a_whole(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        with pytest.raises(ServingError, match="negative"):
            await batcher.run("double", _x(1, 1, -1, 1, -2, 1))
        assert batcher.queued_rows == 0
        assert (await batcher.run("double", _x(5)))["y"].tolist() == [10]

    _with_batcher(recorder, use, max_batch_size=2)


def test_a_signature_without_rows_in_its_output_runs_alone(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        await _blocked(batcher, recorder)
        tasks = await _queued(batcher, *(batcher.run("total", _x(i, i, i)) for i in (1, 2)))
        recorder.gate.set()
        assert [(await task)["total"].item() for task in tasks] == [3, 6]

    _with_batcher(recorder, use, max_batch_size=2)
    assert recorder.ran == [[0], [1, 1, 1], [2, 2, 2]]


def test_an_output_of_unknown_rank_that_has_no_rows_is_found_out(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        await _blocked(batcher, recorder)
        tasks = await _queued(batcher, *(batcher.run("unknown", _x(i, i)) for i in (1, 2)))
        recorder.gate.set()
        assert [(await task)["total"].item() for task in tasks] == [2, 4]
        assert (await batcher.run("unknown", _x(*range(9))))["total"].item() == 36

    _with_batcher(recorder, use, max_batch_size=4)
    assert recorder.ran == [[0], [1, 1, 2, 2], [1, 1], [2, 2], [*range(9)]]


def test_an_oversize_request_without_rows_in_its_output_is_run_whole(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        assert (await batcher.run("unknown", _x(*range(9))))["total"].item() == 36

    _with_batcher(recorder, use, max_batch_size=4)


def test_a_scalar_and_no_rows_run_alone(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        assert (await batcher.run("double", {"x": np.float32(3)}))["y"] == 6
        assert (await batcher.run("double", _x()))["y"].tolist() == []

    _with_batcher(recorder, use, max_batch_size=2, allowed_batch_sizes=(2,))


def test_size_1_joins_nothing(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        await _blocked(batcher, recorder)
        tasks = await _queued(batcher, *(batcher.run("double", _x(i, i)) for i in (1, 2)))
        recorder.gate.set()
        await asyncio.gather(*tasks)

    _with_batcher(recorder, use, max_batch_size=1)
    assert recorder.ran == [[0], [1, 1], [2, 2]]


def test_a_full_queue_refuses_and_says_when_to_come_back(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        await batcher.run("double", _x(0))
        await _blocked(batcher, recorder)
        tasks = await _queued(batcher, *(batcher.run("double", _x(i)) for i in range(3)))
        with pytest.raises(ServingError) as caught:
            await batcher.run("double", _x(7, 7))
        assert caught.value.code == grpc.StatusCode.UNAVAILABLE
        assert caught.value.retry_after > 0
        tasks += await _queued(batcher, batcher.run("double", _x(8)))
        recorder.gate.set()
        await asyncio.gather(*tasks)
        assert (await batcher.run("double", _x(7, 7)))["y"].tolist() == [14, 14]

    _with_batcher(recorder, use, max_queued_rows=4)
    assert recorder.ran == [[0], [0], [0, 1, 2, 8], [7, 7]]


def test_a_request_that_expires_in_the_queue_never_runs(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        await _blocked(batcher, recorder)
        start = time.monotonic()
        with pytest.raises(ServingError) as caught:
            await batcher.run("double", _x(1), deadline=start + 0.05)
        assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
        assert 0.04 < time.monotonic() - start < 5
        assert batcher.queued_rows == 0
        with pytest.raises(ServingError):
            await batcher.run("double", _x(2), deadline=start)
        recorder.gate.set()
        await batcher.run("double", _x(3), deadline=time.monotonic() + 10)

    _with_batcher(recorder, use)
    assert recorder.ran == [[0], [3]]


def test_a_request_that_expires_while_it_runs_is_answered_in_time(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        recorder.gate.clear()
        with pytest.raises(ServingError) as caught:
            await batcher.run("double", _x(1), deadline=time.monotonic() + 0.05)
        assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
        recorder.gate.set()
        assert (await batcher.run("double", _x(2)))["y"].tolist() == [4]

    _with_batcher(recorder, use)


def test_a_cancelled_request_never_runs(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        await _blocked(batcher, recorder)
        tasks = await _queued(
            batcher,
            batcher.run("double", _x(1)),
            batcher.run("double", _x(2, 2, 2, 2, 2)),
            batcher.run("double", _x(3)),
        )
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        assert batcher.queued_rows == 2
        recorder.gate.set()
        assert (await tasks[0])["y"].tolist() == [2]
        assert (await tasks[2])["y"].tolist() == [6]

    _with_batcher(recorder, use, max_batch_size=4)
    assert recorder.ran == [[0], [1, 3]]


def test_requests_cancelled_before_a_failed_batch_is_repeated_are_left_out(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        recorder.gate.clear()
        tasks = await _queued(batcher, *(batcher.run("double", _x(i)) for i in (1, -2, 3)))
        assert batcher.queued_rows == 0  # the full batch is with the thread
        tasks[0].cancel()
        await asyncio.wait([tasks[0]])
        recorder.gate.set()
        answers = await asyncio.gather(*tasks[1:], return_exceptions=True)
        assert isinstance(answers[0], ServingError)
        assert answers[1]["y"].tolist() == [6]
        assert batcher.queued_rows == 0

    _with_batcher(recorder, use, batch_timeout=5.0, max_batch_size=3)
    assert recorder.ran == [[1, -2, 3], [-2], [3]]


def test_a_batch_waits_for_company_when_told(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        start = time.monotonic()
        first = asyncio.create_task(batcher.run("double", _x(1)))
        await asyncio.sleep(0.02)
        await asyncio.gather(first, batcher.run("double", _x(2)))
        assert time.monotonic() - start >= 0.1
        start = time.monotonic()
        await asyncio.gather(*(batcher.run("double", _x(i, i)) for i in (3, 4)))
        assert time.monotonic() - start < 0.09  # full

    _with_batcher(recorder, use, batch_timeout=0.1, max_batch_size=4)
    assert recorder.ran == [[1, 2], [3, 3, 4, 4]]


def test_clients_that_were_answered_together_are_gathered_again(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        async def client(number: int) -> None:
            for _ in range(3):
                await batcher.run("double", _x(number))

        first = await _blocked(batcher, recorder)
        clients = await _queued(batcher, *(client(number) for number in range(4)))
        await asyncio.sleep(0.01)  # so that there is time to gather: gather_share times this
        recorder.gate.set()
        await asyncio.gather(first, *clients)

    _with_batcher(recorder, use, gather_share=10.0)
    # One and four were answered, or waited, when the first batch was over.
    assert [len(rows) for rows in recorder.ran] == [1, 4, 4, 4]


def test_a_client_on_its_own_is_not_made_to_wait_for_others(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        recorder.gate.clear()
        first = asyncio.create_task(batcher.run("double", _x(0, 1, 2)))
        await asyncio.sleep(0.02)
        recorder.gate.set()
        await first
        start = time.monotonic()
        await batcher.run("double", _x(1))
        assert time.monotonic() - start < 1

    _with_batcher(recorder, use, gather_share=100.0)


def test_several_threads_run_several_batches(recorder: Recorder):
    async def use(batcher: Batcher) -> None:
        recorder.gate.clear()
        tasks = await _queued(batcher, *(batcher.run("double", _x(i)) for i in range(4)))
        assert batcher.queued_rows == 2
        recorder.gate.set()
        await asyncio.gather(*tasks)

    _with_batcher(recorder, use, num_batch_threads=2)
    assert sorted(recorder.ran) == [[0], [1], [2, 3]]


def test_results_equal_unbatched_ones(saved_models: pathlib.Path):
    servable = Servable(saved_models / "kinds/1")
    generator = np.random.default_rng(0)
    requests = [
        ("serving_default", {"x": generator.normal(size=(rows, 4)).astype(np.float32)})
        for rows in (1, 3, 2, 7, 20)
    ]
    requests += [
        ("two", {"a": np.full((n, 3), n, np.float32), "b": np.arange(n, dtype=np.int32)})
        for n in (1, 2, 3)
    ]
    requests += [
        ("text", {"img_bytes": np.array([b"x" * n, b"y"], dtype=object)}) for n in range(3)
    ]
    settings = BatchingSettings(max_batch_size=8, allowed_batch_sizes=(4, 8))

    async def main() -> list[dict[str, np.ndarray]]:
        batcher = Batcher(servable, settings)
        answers = await asyncio.gather(*(batcher.run(name, inputs) for name, inputs in requests))
        batcher.close()
        return answers

    for (name, inputs), answer in zip(requests, asyncio.run(main()), strict=True):
        alone = servable.run(name, inputs)
        assert answer.keys() == alone.keys()
        for alias, expected in alone.items():
            assert answer[alias].dtype == expected.dtype
            if expected.dtype == object:
                assert answer[alias].tolist() == expected.tolist()
            else:
                np.testing.assert_allclose(answer[alias], expected, rtol=1e-6)
    servable.close()


@pytest.mark.parametrize("max_batch_size", [1, 8])
def test_unequal_numbers_of_rows_are_refused_where_requests_are_joined(
    saved_models: pathlib.Path, max_batch_size: int
):
    servable = Servable(saved_models / "kinds/1")
    inputs = {"a": np.ones((1, 3), np.float32), "b": np.array([1, 2], np.int32)}

    async def main() -> dict[str, np.ndarray]:
        batcher = Batcher(servable, BatchingSettings(max_batch_size=max_batch_size))
        try:
            return await batcher.run("two", inputs)
        finally:
            batcher.close()
            servable.close()

    if max_batch_size == 1:  # the graph broadcasts
        assert asyncio.run(main())["p"].tolist() == [[1, 1, 1], [2, 2, 2]]
    else:
        with pytest.raises(ServingError, match="equal 0th-dimension size"):
            asyncio.run(main())
