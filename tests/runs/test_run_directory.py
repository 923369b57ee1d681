from __future__ import annotations

import json
import subprocess
import sys

import pytest

from and_tf.runs.run_directory import RunDirectory, RunDirectoryError


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    run = RunDirectory(tmp_path / "runs" / "first")
    with run.taken():
        run.begin("{}", {"seed": 0})
        run.model.write_text("trained")
    return run


def take(run: RunDirectory, **options) -> None:
    with RunDirectory(run.path).taken(**options):
        pass


def test_a_run_is_never_overwritten_by_accident(run):
    with pytest.raises(RunDirectoryError, match="already holds a run. Use --resume"):
        take(run)
    assert run.holds_run


def test_overwriting_removes_all_of_a_run_but_only_once_the_new_one_begins(run):
    run.checkpoints.mkdir()
    for path in (run.metrics, run.model, run.checkpoints / "epoch-1.keras"):
        path.write_text("old")
    with run.taken(overwrite=True):
        assert run.model.exists()
        run.begin('{"seed": 1}', {})
        names = sorted(path.name for path in run.path.iterdir())
        assert names == [".lock", "config.json", "environment.json"]
        run.model.write_text("new")
    assert run.config.read_text() == '{"seed": 1}'


def test_a_directory_that_came_to_nothing_is_removed(tmp_path):
    with pytest.raises(ValueError), RunDirectory(tmp_path / "run").taken():
        raise ValueError("bad input")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("is_new", [True, False])
def test_a_run_that_fails_before_it_has_results_leaves_nothing(tmp_path, is_new):
    run = RunDirectory(tmp_path / "run")
    if not is_new:
        run.path.mkdir()
    with pytest.raises(ValueError), run.taken():
        run.begin("{}", {})
        run.append_metrics({"event": "untrained", "epoch": 0})
        raise ValueError("in the first step")
    left = [path.name for path in tmp_path.rglob("*")]
    assert left == [] if is_new else sorted(left) == [".lock", "run"]


def test_a_run_that_was_killed_before_it_had_results_is_not_in_the_way(run):
    run.model.unlink()
    run.append_metrics({"event": "untrained", "epoch": 0})
    take(run)
    run.append_metrics({"event": "epoch", "epoch": 1})
    with pytest.raises(RunDirectoryError, match="already holds a run"):
        take(run)


@pytest.mark.parametrize("overwrite", [False, True])
def test_foreign_files_are_never_touched(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunDirectoryError, match="Received: thesis.tex"):
        take(RunDirectory(tmp_path), overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_foreign_files_beside_a_run_survive_overwriting(run):
    (run.path / "notes.txt").write_text("mine")
    with pytest.raises(RunDirectoryError, match="Received: notes.txt"):
        take(run, overwrite=True)
    assert run.holds_run and (run.path / "notes.txt").exists()
    take(run, resume=True)
    assert run.holds_run


def test_what_a_kill_left_half_written_is_swept_away(run):
    run.checkpoints.mkdir()
    partial = [run.path / ".partial-model.keras", run.checkpoints / ".partial-epoch-1.keras"]
    for path in partial:
        path.write_text("half")
    take(run, resume=True)
    assert not any(path.exists() for path in partial)


def test_a_file_is_no_run_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="not a directory. Received"):
        take(RunDirectory(tmp_path / "file"))
    with pytest.raises(RunDirectoryError, match="cannot be written to: Not a directory"):
        take(RunDirectory(tmp_path / "file" / "below"))


def test_two_processes_never_share_a_run(run):
    command = f"""
import sys
sys.argv, sys.orig_argv = ["-m"], ["python", "-m", "and_tf.train"]  # spares importing TensorFlow
from and_tf.runs.run_directory import RunDirectory
from pathlib import Path
with RunDirectory(Path({str(run.path)!r})).taken(resume=True):
    pass
"""
    with run.taken(resume=True):
        found = subprocess.run(
            [sys.executable, "-c", command], capture_output=True, text=True, check=False
        )
    assert found.returncode and "Another process is using" in found.stderr


ROWS = [
    {"event": "untrained", "epoch": 0},
    {"event": "epoch", "epoch": 1},
    {"event": "epoch", "epoch": 2},
    {"event": "round", "epoch": 2, "round": 1},
    {"event": "epoch", "epoch": 3},
]


def test_metrics_are_rows_of_json(run):
    for row in ROWS:
        run.append_metrics(row)
    for rest in (
        b'{"event": "epo',
        b"\xff\n",
        b"[1]\n",
        b"{}\n",
    ):  # cut short by a kill, or damaged
        found = run.metrics.read_bytes()
        run.metrics.write_bytes(found + rest)
        assert run.read_metrics() == ROWS
        run.metrics.write_bytes(found)


@pytest.mark.parametrize(
    "epoch, step, round_index, kept",
    [(0, 0, 0, 0), (0, 5, 0, 1), (1, 0, 0, 2), (2, 0, 0, 3), (2, 0, 1, 4), (2, 1, 1, 4)],
)
def test_rows_after_a_checkpoint_are_dropped(run, epoch, step, round_index, kept):
    for row in ROWS:
        run.append_metrics(row)
    run.rewind_metrics(epoch, step, round_index)
    assert run.read_metrics() == ROWS[:kept]


def test_metrics_are_json_for_every_parser(tmp_path):
    run = RunDirectory(tmp_path)
    run.append_metrics({"loss": float("nan"), "probe": {"recall": float("-inf")}, "epoch": 1})

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    line = json.loads(run.metrics.read_text(), parse_constant=refuse)
    assert line == {"loss": None, "probe": {"recall": None}, "epoch": 1}
