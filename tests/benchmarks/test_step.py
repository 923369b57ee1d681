from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_command_ends_with_our_figure_and_the_floor():
    arguments = ["--encoder", "conv4", "--size", "8", "--batch", "4", "--n", "20", "--repeats", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.step", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    fields = json.loads(done.stdout.splitlines()[-1])
    assert fields["ours"] > 0 and fields["floor"] > 0 and fields["peer"] is None
    assert fields["images_per_second"] == 4 / fields["ours"]
    assert fields["share_outside_encoder"] < 1
