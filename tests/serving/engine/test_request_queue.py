"""Which requests make the next batch, and when."""

from __future__ import annotations

import asyncio

import pytest

from serving.engine.batching_settings import BatchingSettings
from serving.engine.request_queue import Request, RequestQueue


def queue(**settings: object) -> RequestQueue:
    return RequestQueue(BatchingSettings(**settings))


def request(name: str | None, rows: int = 1, arrived: float = 0.0) -> Request:
    """A request of the kind `name`; None joins with none."""
    kind = None if name is None else (name,)
    loop = asyncio.new_event_loop()
    loop.close()
    return Request(name or "", {}, (), rows, kind, loop.create_future(), arrived)


def test_kinds_take_turns_and_a_batch_is_not_larger_than_allowed() -> None:
    waiting = queue(max_batch_size=4)
    a = [request("a", rows) for rows in (2, 2, 3)]
    b = request("b", 1)
    for one in (a[0], a[1], b, a[2]):
        waiting.add(one)
    assert waiting.rows == 8
    assert [waiting.take(0.0) for _ in range(4)] == [a[:2], [b], a[2:], []]
    assert waiting.rows == 0


def test_what_cannot_be_joined_runs_alone_and_at_once() -> None:
    waiting = queue(batch_timeout=1.0)
    alone = [request(None), request(None)]
    for one in (request("a"), *alone):
        waiting.add(one)
    assert [waiting.take(0.0) for _ in range(3)] == [alone[:1], alone[1:], []]


def test_a_batch_that_is_not_full_waits() -> None:
    waiting = queue(batch_timeout=1.0, max_batch_size=3)
    first, second = request("a", arrived=5.0), request("a", arrived=5.5)
    waiting.add(first)
    waiting.add(second)
    assert waiting.due_time() == 6.0
    assert waiting.take(5.9) == []
    third = request("a", arrived=5.9)
    waiting.add(third)
    assert waiting.take(5.9) == [first, second, third]
    waiting.add(first)
    assert waiting.take(6.0) == [first]


def test_a_batch_waits_for_those_who_were_answered_but_not_for_long() -> None:
    waiting = queue(gather_share=0.5)
    first, second = request("a"), request("a")
    waiting.gather(rows=2, seconds=2.0, now=10.0)
    waiting.add(first)
    assert waiting.take(10.9) == []
    assert waiting.due_time() == 11.0
    waiting.add(second)
    assert waiting.take(10.9) == [first, second]
    waiting.gather(rows=2, seconds=2.0, now=20.0)
    waiting.add(first)
    assert waiting.take(21.0) == [first]


def test_what_is_put_first_runs_alone_before_the_others() -> None:
    waiting = queue()
    other, again = request("a"), [request("a"), request("a")]
    waiting.add(other)
    waiting.add_first(again)
    assert waiting.rows == 3
    assert [waiting.take(0.0) for _ in range(3)] == [again[:1], again[1:], [other]]


@pytest.mark.parametrize("name", ["a", None])
def test_what_is_removed_does_not_run(name: str | None) -> None:
    waiting = queue()
    first, second = request(name, 2), request(name, 3)
    waiting.add(first)
    waiting.add(second)
    waiting.remove(first)
    waiting.remove(first)
    assert waiting.rows == 3
    assert waiting.take(0.0) == [second]
    waiting.remove(second)
    assert (waiting.rows, waiting.take(0.0)) == (0, [])
