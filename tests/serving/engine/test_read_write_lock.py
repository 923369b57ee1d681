"""Many readers or one writer."""

from __future__ import annotations

import threading

from serving.engine.read_write_lock import ReadWriteLock


def _started(target: object) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def test_readers_enter_together():
    lock = ReadWriteLock()
    both = threading.Barrier(2)

    def read() -> None:
        with lock.reading():
            both.wait(5)

    threads = [_started(read), _started(read)]
    for thread in threads:
        thread.join(5)
    assert not both.broken


def test_a_writer_waits_for_readers_and_goes_before_later_ones():
    lock = ReadWriteLock()
    order: list[str] = []

    def write() -> None:
        with lock.writing():
            order.append("writer")

    def read() -> None:
        with lock.reading():
            order.append("reader")

    with lock.reading():
        writer = _started(write)
        while not lock._writers_waiting:
            pass
        reader = _started(read)
        reader.join(0.05)
        assert order == []
    writer.join(5)
    reader.join(5)
    assert order == ["writer", "reader"]


def test_writers_exclude_everybody():
    lock = ReadWriteLock()
    counts = [0, 0]

    def write() -> None:
        for _ in range(300):
            with lock.writing():
                counts[0] += 1
                counts[1] += 1

    def read() -> None:
        for _ in range(300):
            with lock.reading():
                assert counts[0] == counts[1]

    threads = [_started(target) for target in (write, read, write, read)]
    for thread in threads:
        thread.join(10)
    assert counts == [600, 600]
