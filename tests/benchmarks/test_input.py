from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from benchmarks.photographs import photograph, write_photographs


@pytest.mark.slow
def test_the_command_ends_with_the_figures():
    options = "--source folder --augment --n 6 --batch 4 --batches 2 --size 64 --repeats 1 --json"
    command = [sys.executable, "-m", "benchmarks.input", *options.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["ours"] > 0 and figures["floor"] > 0 and figures["ratio_to_floor"] > 0
    assert figures["ours images/s"] == pytest.approx(8 / figures["ours"])
    if importlib.util.find_spec("torch"):
        assert figures["peer"] > 0 and figures["ratio_to_peer"] > 0


def test_photographs_have_the_size_of_real_ones(tmp_path):
    write_photographs(tmp_path, 3)
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) == 3
    assert all(70_000 < size < 130_000 for size in sizes)


def test_photographs_are_reproducible_and_differ():
    assert photograph(1).tobytes() == photograph(1).tobytes() != photograph(2).tobytes()
