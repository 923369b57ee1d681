from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.sharded_bank import Run, table


def test_the_table_sets_one_beside_the_other():
    mirrored = Run(512, 2_500, peak=2_600, seconds=2, cpu_seconds=4, losses=[13.0, 12.5])
    sharded = Run(128, 1_000, peak=1_300, seconds=3, cpu_seconds=5, losses=[13.0, 12.499])
    lines = table(mirrored, sharded).splitlines()
    assert lines[2] == "| bank on a device (MB) | 512 | 128 | 0.25 |"
    assert lines[4] == "| process, at most in training (MB) | 2,600 | 1,300 | 0.50 |"
    assert lines[6] == "| step, CPU time (s) | 4 | 5 | 1.25 |"
    assert lines[-1] == "Greatest difference of the 2 losses: 1.0e-03"


@pytest.mark.slow
def test_a_part_of_the_bank_takes_a_part_of_the_memory_and_gives_the_same_losses():
    command = "benchmarks.sharded_bank --n 4001 --batch 8 --dim 16 --repeats 2 --json"
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    mirrored, sharded = figures["mirrored"], figures["sharded"]
    assert mirrored["bank"] == pytest.approx(4001 * 16 * 4 / 1e6)
    assert sharded["bank"] == pytest.approx(1001 * 16 * 4 / 1e6)
    assert sharded["losses"] == pytest.approx(mirrored["losses"], abs=1e-4)
