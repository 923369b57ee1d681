from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.discovery import agreement, clustered_bank


def run(*arguments: object) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.discovery", *map(str, arguments), "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.slow
def test_one_command_gives_ours_the_peer_the_floor_and_the_ratios():
    fields = json.loads(run("--n", 600, "--dim", 16, "--repeats", 1)[-1])
    assert fields["ours"] > 0 and fields["floor"] > 0 and fields["ratio_to_floor"] > 0
    assert fields["floor_share"] == 1 and fields["searcher"] == "exact"
    if importlib.util.find_spec("torch"):
        assert (
            fields["peer"] > 0 and fields["ratio_to_peer"] > 0 and fields["PyTorch, one pass (s)"]
        )
    else:
        assert fields["peer"] is None


@pytest.mark.slow
def test_growth_is_the_slope_of_the_logarithms(tmp_path):
    np.save(tmp_path / "bank.npy", clustered_bank(600, 8, 120))
    lines = run("--bank", tmp_path / "bank.npy", "--growth", 300, 600)
    fields = json.loads(lines[-1])
    seconds = fields["seconds"]
    assert fields["exponent"] == pytest.approx(np.log2(seconds["600"] / seconds["300"]))
    assert lines[2].startswith("| 300 | ") and "| exact |" in lines[2]


def test_the_peer_finds_the_same():
    torch = pytest.importorskip("torch")
    from and_tf.discovery.neighbourhoods import discover
    from benchmarks.peers import discovery as in_torch

    bank = clustered_bank(300, 16, 30)
    found = discover(bank, 2, 0.1, "exact")
    for search in (in_torch.authors, in_torch.blocks):
        ids = search(torch.from_numpy(bank), 0.1, 2)
        np.testing.assert_array_equal(ids, found.neighbours)
    assert agreement(found, bank, 2, 0.1)["recall"] == 1
