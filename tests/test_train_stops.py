"""Runs that are killed, stopped, out of space or diverged lose nothing, and go on to the same bits."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator

import pytest

import and_tf
from and_tf import train
from tests.small_run import ROOT, SMALL, TINY, assert_same_model, command, fails, rows

pytestmark = pytest.mark.stops


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def without_times(found: list[dict]) -> list[dict]:
    times = ("seconds", "images_per_second")
    return [{name: row[name] for name in row if name not in times} for row in found]


KILL_AND_RESUME = """
import os, pathlib, random, signal, sys, time
import and_tf, and_tf.runs.assembly, and_tf.runs.checkpoints, and_tf.runs.progress, and_tf.runs.summary  # once for all
from and_tf import train

kills, *arguments = sys.argv[1:]
metrics = pathlib.Path(arguments[1], "metrics.jsonl")
rows = lambda: len(metrics.read_text().splitlines()) if metrics.exists() else 0
rng = random.Random(0)
for kill in range(int(kills) + 1):
    child = os.fork()
    if child == 0:
        os._exit(train.main(arguments))
    if kill < int(kills):  # at a random moment of the first seconds, or soon after the next row or two
        ahead = rng.choice([0, 1, 1, 2])
        wanted, deadline = rows() + ahead, time.monotonic() + 60
        while rows() < wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.2 if ahead else 2))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(kill, os.WIFSIGNALED(status), rows())
print("exit code:", os.WEXITSTATUS(status))
"""


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_with_the_same_bits(trained_run, tmp_path, kills):
    whole, killed, more = trained_run, tmp_path / "killed", []
    if kills > 1:
        whole = tmp_path / "whole"
        more = ["--set=curriculum.initial_epochs=8", "--set=curriculum.epochs_per_round=6"]
        assert train.main(["--run-dir", str(whole), *SMALL, *more]) == 0
    arguments = ["--run-dir", str(killed), *SMALL, *more, "--resume-or-start"]
    found = subprocess.run(
        [sys.executable, "-c", KILL_AND_RESUME, str(kills), *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.count("True") == kills, found.stdout + found.stderr
    assert found.stdout.endswith("exit code: 0\n"), found.stdout + found.stderr
    assert_same_model(whole, killed)
    assert without_times(rows(whole)) == without_times(rows(killed))


# SIGINT also by test_ctrl_c_on_the_command_line.
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_stops_in_the_middle_of_an_epoch_and_nothing_is_lost(
    trained_run, tmp_path, number, capsys, monkeypatch
):
    from and_tf.runs.progress import Progress

    steps, original = [0], Progress.on_train_batch_end

    def signal_at_step_17(self, batch, logs=None):
        original(self, batch, logs)
        steps[0] += 1
        if steps[0] == 17:  # epochs have 12 steps
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Progress, "on_train_batch_end", signal_at_step_17)
    arguments = ["--run-dir", str(tmp_path / "run"), *SMALL]
    assert train.main(arguments) == 128 + number
    captured = capsys.readouterr().err
    assert "the checkpoint is written: go on with --resume" in captured
    assert (tmp_path / "run/checkpoints/epoch-000001-step-00000005.keras").exists()
    assert train.main([*arguments, "--resume"]) == 0
    assert "resuming after epoch 1, step 5" in capsys.readouterr().out
    assert_same_model(trained_run, tmp_path / "run")


def test_ctrl_c_on_the_command_line(tmp_path):
    process = command("--run-dir", "run", "--set", "encoder.width=0.25")
    for line in process.stdout:
        if "epoch 2/" in line:
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.splitlines() == [  # and nothing of TensorFlow's
        "",
        "stopping when a step ends; once more to stop at once",
        "error: stopped by SIGINT; the checkpoint is written: go on with --resume",
    ]


def test_resuming_a_finished_run_changes_nothing(trained_run, tmp_path, capsys):
    finished, found = tmp_path / "run", rows(trained_run)
    shutil.copytree(trained_run, finished)
    assert train.main(["--run-dir", str(finished), "--resume"]) == 0
    assert "| round 2 | 6 |" in capsys.readouterr().out
    assert rows(finished) == found
    assert_same_model(trained_run, finished)


@contextlib.contextmanager
def a_disk_with_room_for(most_bytes: int) -> Iterator[None]:
    """Files beyond a size cannot be written, as on a disk that is full from there on."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("bytes_left", [0, 50_000])
def test_a_full_disk_loses_nothing(trained_run, tmp_path, capsys, bytes_left):
    arguments = ["--run-dir", str(tmp_path / "run"), *SMALL]
    tempfile.gettempdir()  # looks for a folder that it can write to, once
    for more in ([], ["--resume-or-start"]):  # again while it is still full
        with a_disk_with_room_for(bytes_left):
            message = fails(capsys, *arguments, *more)
            assert (
                "No space left on the disk of the run directory. Make room, then start" in message
            )
    assert train.main([*arguments, "--resume-or-start"]) == 0
    assert_same_model(trained_run, tmp_path / "run")


def test_a_diverged_run_goes_on_at_a_lower_rate(tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    arguments = ["--run-dir", str(run), *SMALL]
    original, steps = and_tf.runs.watchdog.Watchdog.on_train_batch_end, [0]

    def diverge_at_step_30(self, batch, logs=None):
        steps[0] += 1
        original(self, batch, {"loss": float("nan")} if steps[0] == 30 else logs)

    monkeypatch.setattr(and_tf.runs.watchdog.Watchdog, "on_train_batch_end", diverge_at_step_30)
    message = fails(capsys, *arguments)
    assert "at step 6 of epoch 3" in message
    assert "--resume --set optimizer.learning_rate=0.003 goes on from it" in message
    more = ["--resume", "--set", "optimizer.learning_rate=0.003"]
    assert train.main([*arguments, *more]) == 0
    assert rows(run)[-2]["learning_rate"] == pytest.approx(0.003)
    assert json.loads((run / "config.json").read_text())["optimizer"]["learning_rate"] == 0.003


def test_a_run_in_a_thread_of_a_program_trains(tmp_path):
    codes = []
    arguments = ["--run-dir", str(tmp_path / "run"), *TINY]
    thread = threading.Thread(target=lambda: codes.append(train.main(arguments)))
    thread.start()
    thread.join()
    assert codes == [0] and (tmp_path / "run/model.keras").exists()
