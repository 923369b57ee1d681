from __future__ import annotations

import json
import sys
import time

import pytest

from benchmarks import measuring
from benchmarks.measuring import Comparison, Peer, Seconds, paired


def test_contenders_take_turns_and_warm_up_uncounted():
    order = []
    runs = {"ours": lambda: order.append("a"), "peer": lambda: order.append("b"), "floor": None}
    seconds = paired(runs, repeats=2, warm_up=1)
    assert order == ["a", "b"] * 3
    assert {name: len(values) for name, values in seconds.items()} == {"ours": 2, "peer": 2}


def test_a_contender_is_timed_unless_it_timed_itself():
    runs = {"ours": lambda: time.sleep(0.02) or 7.0, "peer": lambda: Seconds(7)}
    seconds = paired(runs, repeats=1)
    assert 0.02 <= seconds["ours"][0] < 2  # its 7.0 is a result
    assert seconds["peer"] == [7.0]


def test_ratios_are_medians_of_pairs():
    # Of the medians the ratio would be 4 / 2: the drift of the third pair met both sides.
    seconds = {"ours": [1.0, 2.0, 10.0], "peer": [3.0, 4.0, 10.0], "floor": [0.5, 1.0, 10.0]}
    comparison = Comparison.of("case", seconds | {"plain": [5.0, 6.0, 7.0]}, n=3)
    assert (comparison.ours, comparison.peer, comparison.floor) == (2.0, 4.0, 1.0)
    assert comparison.ratio_to_peer == 2.0
    assert comparison.ratio_to_floor == 2.0
    assert comparison.more == {"plain (s)": 6.0, "n": 3}


def test_the_report_ends_with_one_json_object(capsys):
    comparison = Comparison.of("step", {"ours": [0.5]}, images_per_second=256.0)
    measuring.report(comparison, as_json=True)
    lines = capsys.readouterr().out.splitlines()
    assert "| ours | 0.5 s |" in lines and "| peer | - |" in lines
    fields = json.loads(lines[-1])
    assert fields["ours"] == 0.5 and fields["images_per_second"] == 256.0
    assert fields["peer"] is fields["floor"] is fields["ratio_to_peer"] is None


def test_a_peer_runs_once_for_each_call(monkeypatch, tmp_path):
    script = "from benchmarks.peers import answer; import time; answer(lambda: time.sleep(0.01))"
    (tmp_path / "python").write_text(f"#!/bin/sh\nexec {sys.executable} -c '{script}'\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    running = Peer("any")
    assert 0.01 <= running() < 2 and 0.01 <= running() < 2
    running.close()


def test_a_peer_that_ends_is_an_error():
    with pytest.raises(RuntimeError, match="no_such_peer ended with 1"):
        Peer("no_such_peer")


def test_without_torch_there_is_no_peer_and_a_word_says_so(monkeypatch, capsys):
    monkeypatch.setattr(measuring.importlib.util, "find_spec", lambda name: None)
    with measuring.peer("step") as running:
        assert running is None
    assert "PyTorch is not installed" in capsys.readouterr().err
