from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_nothing_is_lost():
    command = [sys.executable, "-m", "benchmarks.faults", "--runs", "4", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = json.loads(done.stdout.splitlines()[-1])
    assert set(outcomes) == {"kill", "disk", "truncated", "worker"}
    assert all(found["recovered"] == found["equal"] == 1 for found in outcomes.values())
