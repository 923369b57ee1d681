from __future__ import annotations

from and_tf.discovery import search_progress
from and_tf.discovery.search_progress import SearchProgress


class Clock:
    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(search_progress.time, "monotonic", lambda: self.now)


def test_a_long_search_says_now_and_then_how_long_it_still_takes(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    with SearchProgress("discovery") as progress:
        for second in range(0, 101, 5):
            clock.now = second
            progress(second / 100)
    assert capsys.readouterr().out.splitlines() == [
        "discovery 30%  01:10 left",
        "discovery 60%  00:40 left",
        "discovery 90%  00:10 left",
    ]


def test_a_short_search_says_nothing(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    with SearchProgress("discovery") as progress:
        clock.now = 20
        progress(1.0)
    captured = capsys.readouterr()
    assert not captured.out and not captured.err


def test_a_terminal_has_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with SearchProgress("discovery", delay=0) as progress:
        progress(0.25)
        assert not progress._bar.disable
        assert progress._bar.n == 0.25
        progress(1.0)
        assert progress._bar.n == 1.0
    assert not capsys.readouterr().out
