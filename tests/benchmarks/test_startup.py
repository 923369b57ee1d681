from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks import startup


@pytest.mark.parametrize(
    "line, done",
    [
        (b"epoch 1:   0%|          | 0/12 [00:00<?, ?step/s]", False),
        (b"epoch 1:   8%|8         | 1/12 [00:02<00:26,  2.37s/step]", True),
        (b"epoch 1:  83%|########3 | 10/12 [00:02<00:00,  4.1step/s]", True),
        (b"digits: 1,437 images (16, 16, 3) of digits/train", False),
    ],
)
def test_a_finished_step_is_told_from_the_progress_bar(line, done):
    assert bool(startup.STEP_DONE.search(line)) == done


@pytest.mark.slow
def test_the_command_ends_with_the_figures():
    command = [sys.executable, "-m", "benchmarks.startup", "--repeats", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["ours"] > figures["floor"] > figures["python -m and_tf --help (s)"] > 0
    assert all(figures[f"phase: {name} (s)"] > 0 for name in ("trace and first step",))
