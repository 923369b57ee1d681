"""The small run on the digits that `benchmarks.faults` disturbs."""

from __future__ import annotations

from pathlib import Path

SMALL = [
    *("--set", "encoder.width=0.25"),
    *("--set", "encoder.embedding_dim=16"),
    *("--set", "curriculum.rounds=2"),
    *("--set", "curriculum.initial_epochs=4"),
    *("--set", "curriculum.epochs_per_round=4"),
    *("--set", "evaluation.every_epochs=4"),
]


def train(run: Path, *options: str) -> int:
    from and_tf import train as command

    return command.main(["--run-dir", str(run), "--resume-or-start", *SMALL, *options])


def compare(run: Path, other: Path) -> int:
    """0 where both trained models have the same numbers, to the bit."""
    import keras
    import numpy as np

    models = [keras.models.load_model(folder / "model.keras") for folder in (run, other)]
    states = [model.variables + model.optimizer.variables for model in models]
    return int(not all(np.array_equal(a, b) for a, b in zip(*states, strict=True)))
