"""The report that a run ends with."""

from __future__ import annotations

import json
import shutil

import pytest

from and_tf import data, train
from and_tf.reporting import closing
from and_tf.runs.checkpoints import read_model
from and_tf.runs.config import load_config
from and_tf.runs.run_directory import RunDirectory
from tests.small_run import TINY


@pytest.fixture
def run(trained_run, tmp_path) -> RunDirectory:
    copy = tmp_path / "run"
    shutil.copytree(trained_run, copy)
    return RunDirectory(copy)


def test_what_is_left_out_is_said(run, monkeypatch):
    config, (images, _) = load_config(run.config), data.load("digits")
    model = read_model(run.model, compile=False)
    monkeypatch.setattr(closing, "LEAST_SECONDS", 0.0)
    path = closing.closing_report(run, config, model, images)
    text = (run.path / "report.md").read_text()
    assert path == run.report and "## Training" in text and "## Map" not in text
    left_out = "outliers, map, neighbours, augmented views. All of it: python -m and_tf.report"
    assert left_out in text
    monkeypatch.setattr(closing, "LEAST_SECONDS", 1000.0)
    closing.closing_report(run, config, model, images)
    text = (run.path / "report.md").read_text()
    assert "## Map" in text and "## Neighbours" in text and "outliers. All of it" in text


def test_a_run_ends_with_its_report_and_well_without(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(closing, "MOST_SECONDS", 0.0)
    arguments = ["--run-dir", str(run.path), "--resume", "--set", "train.report=true"]
    assert train.main(arguments) == 0  # all epochs are over
    assert f"The report: {run.report}" in capsys.readouterr().out
    assert "## Training" in (run.path / "report.md").read_text()

    def fail(*_: object) -> None:
        raise OSError("no ink")

    monkeypatch.setattr(closing, "write_page", fail)
    assert train.main(arguments) == 0
    assert "warning: no report was written: no ink" in capsys.readouterr().out
    # A new run takes the old one's report away.
    assert train.main(["--run-dir", str(run.path), "--overwrite", *TINY]) == 0
    assert not run.report.exists() and not (run.path / "report").exists()
    assert json.loads(run.config.read_text())["train"]["report"] is False
