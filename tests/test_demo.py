"""The embedded default, trained in full."""

from __future__ import annotations

import json

import pytest

from and_tf import train


@pytest.mark.slow
def test_an_encoder_learns_classes_it_was_never_told(tmp_path):
    assert train.main(["--run-dir", str(tmp_path / "run")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    untrained, last = rows[0]["knn_features"], rows[-1]
    assert last["knn_features"] > 0.96 and last["knn_bank"] > 0.94
    # It errs less than half as often as the untrained encoder.
    assert 1 - last["knn_features"] < (1 - untrained) / 2
    rounds = [row["consistency"] for row in rows if row["event"] == "round"]
    assert len(rounds) == 4 and min(rounds[1:]) > 0.9
