from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.memory import peak_megabytes


@pytest.mark.slow
def test_a_tiny_case_ends_with_its_figures():
    command = "benchmarks.objective --n 300 --batch 8 --dim 16 --repeats 2 --form fused --no-memory --json"
    finished = subprocess.run(
        [sys.executable, "-m", *command.split()],
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    figures = json.loads(finished.stdout.splitlines()[-1])
    assert figures["case"] == "Objective (fused), N=300, B=8, d=16, tau=0.1"
    assert figures["ours"] > 0 and figures["floor"] > 0 and figures["ratio_to_floor"] > 0
    with_torch = importlib.util.find_spec("torch") is not None
    assert (figures["ratio_to_peer"] is not None) == with_torch


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_peak_memory_is_seen_after_it_was_freed():
    def work() -> None:
        np.ones(50_000_000, np.uint8).sum()

    work()
    assert 49 <= peak_megabytes(work) < 70
