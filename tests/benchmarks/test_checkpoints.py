from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_command_ends_with_the_parts_and_the_floor():
    arguments = ["--encoder", "conv4", "--size", "8", "--n", "40", "--repeats", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.checkpoints", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    fields = json.loads(done.stdout.splitlines()[-1])
    parts = [fields[f"{part} (s)"] for part in ("check", "write", "flush")]
    assert min(parts) > 0 and fields["ours"] >= max(parts) and fields["copy (s)"] > 0
    assert fields["floor"] > 0 and fields["megabytes"] > 0
    assert 0 < float(fields["share of epochs of 10 s"].rstrip("%")) < 100
