"""A server that is killed while it is taught has lost nothing that it acknowledged."""

from __future__ import annotations

import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from serving.client import Client, ClientError, Retry
from tests.serving.running import running

pytestmark = pytest.mark.stops

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
ROWS_A_REQUEST = 4
CLIENTS = 6
LABELS = ["red", "blue", "a new class"]


class Served:
    """`python -m serving`, started in a process group of its own."""

    def __init__(self, exports: pathlib.Path, rows_dir: pathlib.Path, log: pathlib.Path) -> None:
        command = [sys.executable, "-m", "serving", f"--model=colours={exports / 'colours'}"]
        command += ["--rest-port=0", "--grpc-port=0", f"--rows-dir={rows_dir}"]
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        line = self.process.stdout.readline()
        found = re.search(r"REST at (\S+),", line)
        assert found, f"{line}\n{log.read_text()}"
        self.url = found[1]

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        assert self.process.wait(60) == -signal.SIGKILL
        self.process.stdout.close()


def teach_and_kill(
    served: Served, waiting: queue.SimpleQueue, images: list[bytes], kill_after: int
) -> dict[int, int]:
    """Teaches images from several clients, kills the server amid it; acknowledged ids by image."""
    acknowledged: dict[int, int] = {}
    enough = threading.Event()

    def work() -> None:
        with Client(served.url, "colours", retry=Retry(attempts=1)) as client:
            while True:
                try:
                    numbers = waiting.get_nowait()
                except queue.Empty:
                    enough.set()
                    return
                try:
                    ids = client.teach(
                        [images[number] for number in numbers],
                        [LABELS[number % 3] for number in numbers],
                        [str(number) for number in numbers],
                    )
                except ClientError:
                    waiting.put(numbers)
                    return
                acknowledged.update(zip(numbers, ids, strict=True))
                if len(acknowledged) >= kill_after:
                    enough.set()

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    assert enough.wait(600), "the server does not take rows"
    served.kill()
    for thread in threads:
        thread.join()
    return acknowledged


@pytest.mark.parametrize(
    ("count", "kills"),
    [
        pytest.param(200, [100], id="200"),
        pytest.param(10_000, [2_000, 5_000, 9_000], id="10000", marks=pytest.mark.slow),
    ],
)
def test_acknowledged_rows_survive_kill(
    exports: pathlib.Path, tmp_path: pathlib.Path, coloured_png, count: int, kills: list[int]
) -> None:
    images = [coloured_png((60, 60, 60 + number % 180), number) for number in range(count)]
    waiting: queue.SimpleQueue = queue.SimpleQueue()
    for start in range(0, count, ROWS_A_REQUEST):
        waiting.put(range(start, start + ROWS_A_REQUEST))
    acknowledged: dict[int, int] = {}
    for kill_at in kills:
        served = Served(exports, tmp_path / "rows", tmp_path / "log")
        taught = teach_and_kill(served, waiting, images, kill_at - len(acknowledged))
        again = acknowledged.keys() & taught.keys()
        assert not again
        acknowledged |= taught
        assert kill_at <= len(acknowledged) < count, "it was not killed amid the teaching"

    with running({"colours": exports / "colours"}, rows_dir=tmp_path / "rows") as server:
        url = f"http://127.0.0.1:{server.server.rest_port}"
        with Client(url, "colours") as client:
            rows = {row.id: row for row in client.rows()}
            lost = [number for number, row in acknowledged.items() if row not in rows]
            assert not lost
            assert len(set(acknowledged.values())) == len(acknowledged)
            for number, row in acknowledged.items():
                assert (rows[row].label, rows[row].source) == (LABELS[number % 3], str(number))
            for number in list(acknowledged)[:: len(acknowledged) // 20]:
                assert client.row(acknowledged[number]).image == images[number]
                found = client.neighbours([images[number]])
                assert found.ids.max() < 0
                assert found.similarities[0, 0] == pytest.approx(1, abs=1e-5)
            # Requests were taken whole: of each four rows all are there or none.
            there = np.zeros(count, bool)
            there[[int(row.source) for row in rows.values()]] = True
            assert set(there.reshape(-1, ROWS_A_REQUEST).sum(axis=1)) <= {0, ROWS_A_REQUEST}
