from __future__ import annotations

import json

from and_tf.runs.config import load_config
from benchmarks.results import table


def make_run(folder, rounds: int, initial_epochs: int, accuracy: float):
    overrides = [f"curriculum.rounds={rounds}", f"curriculum.initial_epochs={initial_epochs}"]
    config = load_config(None, [*overrides, "curriculum.epochs_per_round=2"])
    rows = [{"event": "untrained", "epoch": 0, "knn_features": 0.3}]
    for epoch in range(1, initial_epochs + 2 * rounds + 1):
        round_index = 0 if epoch <= initial_epochs else 1 + (epoch - initial_epochs - 1) // 2
        row = {"event": "epoch", "epoch": epoch, "round": round_index, "loss": 1.0}
        rows.append(row | {"knn_bank": accuracy, "knn_features": accuracy + epoch / 100})
        if epoch == initial_epochs:
            rows.append({"event": "round", "round": 1, "epoch": epoch, "consistency": 0.75})
    folder.mkdir()
    (folder / "config.json").write_text(config.to_json())
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_seeds_are_averaged(tmp_path):
    rounds = [make_run(tmp_path / f"and-{a}", 1, 3, a) for a in (0.5, 0.7)]
    instance = [make_run(tmp_path / f"instance-{seed}", 0, 5, 0.4) for seed in range(2)]
    assert table(rounds, instance).splitlines()[2:] == [
        "| untrained | 0 | - | 30.0 ± 0.0 | - | - |",
        "| Instance (round 0) | 3 | 60.0 ± 14.1 | 63.0 ± 14.1 | - | - |",
        "| Instance, all epochs | 5 | 40.0 ± 0.0 | 45.0 ± 0.0 | - | - |",
        "| AND round 1 | 5 | 60.0 ± 14.1 | 65.0 ± 14.1 | 75.0 ± 0.0 | - |",
    ]
