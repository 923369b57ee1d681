from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.evaluation import clustered, knn_case, whole_case


def test_every_case_has_its_figures():
    found = knn_case(40, 300, 8, repeats=1)
    assert found.ours > 0 and found.floor and found.ratio_to_floor
    seconds = whole_case(60, 200, 8)
    assert set(seconds) >= {"knn", "clusters", "linear"} and all(s >= 0 for s in seconds.values())
    rows, labels = clustered(50, 8, 0)
    assert rows.shape == (50, 8) and set(labels) <= set(range(10))


@pytest.mark.slow
def test_probes_are_timed_beside_one():
    command = [sys.executable, "-m", "benchmarks.evaluation", "--case", "probes", "--json"]
    options = ["--encoder", "conv4", "--images", "64", "--size", "8", "--repeats", "1"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    fields = json.loads(done.stdout.splitlines()[-1])
    assert fields["classifiers"] == 25 and fields["ratio_to_floor"] > 0
