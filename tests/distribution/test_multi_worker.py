"""Several workers, processes of their own, give the results of one device."""

from __future__ import annotations

import json
import pathlib
import signal
import time

import numpy as np
import pytest

from and_tf import train
from tests.distribution import multi_worker
from tests.distribution.outcomes import LONG_TOLERANCE, TOLERANCE, assert_same
from tests.distribution.worker_processes import said, started

pytestmark = pytest.mark.parity

HERE = pathlib.Path(__file__).resolve().parent


def run(folder: pathlib.Path, counts: tuple[int, ...], part: str) -> pathlib.Path:
    """One worker, which the others are held to, is this process; they are processes of their own."""
    multi_worker.main(folder, part)
    script = str(HERE / "multi_worker.py")
    for count in counts:
        with started(count, [script, str(folder), part], folder) as processes:
            codes = [process.wait(600) for process in processes]
        assert codes == [0] * count, "".join(said(folder, rank) for rank in range(count))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    return run(tmp_path_factory.mktemp("workers"), (2,), "some")


@pytest.fixture(scope="module")
def rest(tmp_path_factory) -> pathlib.Path:
    return run(tmp_path_factory.mktemp("rest"), (2,), "rest")


def assert_workers_same(
    folder: pathlib.Path, count: int, bank: str, tolerance: float = TOLERANCE
) -> None:
    for rank in range(count):
        assert_same(folder, "0 of 1 mirrored", f"{rank} of {count} {bank}", tolerance)


def test_two_workers_train_as_one_device(folder):
    assert_workers_same(folder, 2, "sharded")


@pytest.mark.slow
def test_so_they_do_with_a_whole_bank_each(rest):
    assert_workers_same(rest, 2, "mirrored")


def test_the_run_that_they_are_held_to_had_rounds_and_neighbours(folder):
    with np.load(folder / "0 of 1 mirrored.npz") as one:
        assert set(one["and/times_seen"]) == {3}
        assert one["and/round"] == 2 and (one["and/neighbourhoods"] >= 0).all()
        assert len(one["predict"]) == 29


def test_workers_tell_each_other(folder):
    for rank in range(2):
        with np.load(folder / f"{rank} of 2 told.npz") as told:
            np.testing.assert_array_equal(told["uneven"], np.ones((2, 3)))
            assert told["nothing"].shape == (0, 2)
            assert told["somebody"] and not told["nobody"]
            assert not told["finite"]
            (message,) = told["lags"]
            assert "batch norm's averages lag behind" in str(message)
            assert str(told["complaint"]).endswith("Received: differences in that, those")


def test_what_has_no_place_on_several_machines_is_refused(folder):
    with np.load(folder / "1 of 2 told.npz") as told:
        assert "give a tf.data.Dataset of batches" in str(told["arrays"])
        assert "validation_data is not evaluated" in str(told["validation"])


@pytest.mark.slow
@pytest.mark.parametrize("bank", ["mirrored", "sharded"])
@pytest.mark.parametrize("count", [2, 3])
def test_fifty_steps_are_those_of_one_device(long_folder, count, bank):
    assert_workers_same(long_folder, count, bank, LONG_TOLERANCE)


@pytest.fixture(scope="module")
def long_folder(tmp_path_factory) -> pathlib.Path:
    return run(tmp_path_factory.mktemp("long"), (2, 3), "long")


OPTIONS = {
    "encoder.width": 0.1,
    "curriculum.rounds": 1,
    "curriculum.initial_epochs": 2,
    "curriculum.epochs_per_round": 1,
    "augment.hue": 0,
    "augment.contrast": 0,
    "augment.saturation": 0,
    "evaluation.every_epochs": 1,
    "train.worker_timeout_seconds": 30,
    "train.report": "false",
}
COMMAND = ["-m", "and_tf.train", "--run-dir", "run"]
COMMAND += [f"--set={name}={value}" for name, value in OPTIONS.items()]


def wait_for(path: pathlib.Path, text: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < end, f"no {text} in {path}"
        time.sleep(0.05)


def test_a_run_that_loses_a_worker_goes_on_on_one(tmp_path, monkeypatch):
    rows = tmp_path / "run" / "metrics.jsonl"
    with started(2, COMMAND, tmp_path) as processes:
        wait_for(rows, '"epoch", "epoch": 1')
        processes[1].kill()
        assert processes[0].wait(120) == 2
    assert "does not answer any more" in said(tmp_path, 0)

    monkeypatch.chdir(tmp_path)
    assert train.main([*COMMAND[2:], "--resume"]) == 0
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    assert [row["event"] for row in found] == ["untrained", "epoch", "epoch", "round", "epoch"]


@pytest.mark.slow
@pytest.mark.parametrize("loss", [signal.SIGKILL, signal.SIGSTOP])
def test_a_run_is_stopped_loses_a_worker_and_goes_on(tmp_path, loss):
    rows = tmp_path / "run" / "metrics.jsonl"
    with started(2, COMMAND, tmp_path) as processes:
        wait_for(rows, "untrained")
        processes[1].send_signal(signal.SIGTERM)
        assert [process.wait(120) for process in processes] == [143, 143]
    assert "checkpoint is written" in said(tmp_path, 0)
    assert "kNN" not in said(tmp_path, 1)  # the chief reports

    with started(2, [*COMMAND, "--resume"], tmp_path) as processes:
        wait_for(rows, '"epoch", "epoch": 1')
        processes[1].send_signal(loss)
        killed = time.monotonic()
        assert processes[0].wait(120) == 2
        assert time.monotonic() - killed < 40  # the time-out, and the rest of a step
    assert "worker 0 (127.0.0.1" in said(tmp_path, 0)
    assert "does not answer any more" in said(tmp_path, 0)

    with started(1, [*COMMAND, "--resume"], tmp_path) as processes:
        assert processes[0].wait(120) == 0, said(tmp_path, 0)
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    assert [row["event"] for row in found] == ["untrained", "epoch", "epoch", "round", "epoch"]
    assert (tmp_path / "run" / "model.keras").exists()

    (tmp_path / "run").rename(tmp_path / "run-0")
    with started(2, [*COMMAND, "--resume", "--run-dir", "run-{rank}"], tmp_path) as processes:
        assert [process.wait(120) for process in processes] == [2, 2]
    for rank in range(2):
        assert "Received: differences in the run directory" in said(tmp_path, rank)
