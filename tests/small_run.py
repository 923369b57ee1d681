"""A small run of the training command, and how to look at what it left."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from and_tf import train

ROOT = pathlib.Path(__file__).resolve().parents[1]
SMALL = [
    *("--set", "encoder.width=0.25"),
    *("--set", "encoder.embedding_dim=16"),
    *("--set", "curriculum.rounds=2"),
    *("--set", "curriculum.initial_epochs=2"),
    *("--set", "curriculum.epochs_per_round=2"),
    *("--set", "evaluation.every_epochs=2"),
    # What takes longest to compile; crops, flips and brightness stay.
    *("--set", "augment.contrast=0"),
    *("--set", "augment.saturation=0"),
    *("--set", "augment.hue=0"),
    *("--set", "train.report=false"),
]
TINY = [*SMALL, "--set", "curriculum.rounds=0", "--set", "curriculum.initial_epochs=1"]


def command(*arguments: str, **environment: str) -> subprocess.Popen:
    """`python -m and_tf.train` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "and_tf.train", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fails(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """The one message of a command that must end with exit code 2."""
    assert train.main(list(arguments)) == 2
    captured = capsys.readouterr().err
    assert captured.startswith("error: ") and "Traceback" not in captured
    return captured


def rows(run: pathlib.Path) -> list[dict]:
    """The lines of a run's metrics."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_same_model(one: pathlib.Path, other: pathlib.Path) -> None:
    """The models that two runs left are equal to the bit, with their optimisers."""
    models = [keras.models.load_model(run / "model.keras") for run in (one, other)]
    states = [model.variables + model.optimizer.variables for model in models]
    for a, b in zip(*states, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)
