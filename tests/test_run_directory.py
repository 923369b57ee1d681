from __future__ import annotations

import subprocess
import sys

import pytest

from and_tf.run_directory import RunDirectory, RunDirectoryError


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    run = RunDirectory(tmp_path / "runs" / "first")
    run.open()
    run.config.write_text("{}")
    return run


def test_a_run_is_never_overwritten_by_accident(run):
    run.metrics.write_text("{}\n")
    with pytest.raises(RunDirectoryError, match="already holds a run. Use --resume"):
        RunDirectory(run.path).open()
    assert run.metrics.exists()


def test_overwriting_removes_all_of_a_run(run):
    run.checkpoints.mkdir()
    for path in (run.metrics, run.model, run.checkpoints / "epoch-1.keras"):
        path.write_text("old")
    run.close()
    RunDirectory(run.path).open(overwrite=True)
    assert [path.name for path in run.path.iterdir()] == [".lock"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_foreign_files_are_never_touched(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunDirectoryError, match="Received: thesis.tex"):
        RunDirectory(tmp_path).open(overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_foreign_files_beside_a_run_survive_overwriting(run):
    (run.path / "notes.txt").write_text("mine")
    with pytest.raises(RunDirectoryError, match="Received: notes.txt"):
        RunDirectory(run.path).open(overwrite=True)
    assert run.config.exists() and (run.path / "notes.txt").exists()


def test_a_run_can_be_resumed_whatever_lies_beside_it(run):
    (run.path / "notes.txt").write_text("mine")
    run.close()
    RunDirectory(run.path).open(resume=True)
    assert run.config.exists()


def test_a_file_is_no_run_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="not a directory. Received"):
        RunDirectory(tmp_path / "file").open()
    with pytest.raises(RunDirectoryError, match="cannot be written to: Not a directory"):
        RunDirectory(tmp_path / "file" / "below").open()


def test_two_processes_never_share_a_run(run):
    command = f"""
from and_tf.run_directory import RunDirectory
from pathlib import Path
RunDirectory(Path({str(run.path)!r})).open(resume=True)
"""
    found = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=False
    )
    assert found.returncode and "Another process is using" in found.stderr


ROWS = [
    {"event": "untrained", "epoch": 0},
    {"event": "epoch", "epoch": 1},
    {"event": "epoch", "epoch": 2},
    {"event": "round", "epoch": 2},
    {"event": "epoch", "epoch": 3},
]


def test_metrics_are_rows_of_json(run):
    for row in ROWS:
        run.append_metrics(row)
    with open(run.metrics, "a") as file:
        file.write('{"event": "epo')  # cut short by a kill
    assert run.read_metrics() == ROWS


@pytest.mark.parametrize(
    "epoch, step, kept", [(0, 0, 0), (0, 5, 1), (1, 0, 2), (2, 0, 3), (2, 1, 4)]
)
def test_rows_after_a_checkpoint_are_dropped(run, epoch, step, kept):
    for row in ROWS:
        run.append_metrics(row)
    run.rewind_metrics(epoch, step)
    assert run.read_metrics() == ROWS[:kept]
