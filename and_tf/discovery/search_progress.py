"""How far a long search is, and how long it still takes."""

from __future__ import annotations

import time
from typing import Self

from tqdm import tqdm


class SearchProgress:
    """Shows the share done and the time left; nothing of a search that is over in a few seconds.

    A bar on a terminal, elsewhere a line now and then. Use as a context manager that gives the
    function to call with the share done, from 0 to 1.

    Args:
        name: What the search is for.
        delay: Seconds before a bar appears.
        interval: Seconds between two lines.
    """

    def __init__(self, name: str, delay: float = 3.0, interval: float = 30.0) -> None:
        self._name = name
        self._interval = interval
        self._started = self._last_line = time.monotonic()
        self._bar = tqdm(
            total=1.0,
            desc=name,
            bar_format="{desc} {percentage:3.0f}% |{bar}| {remaining} left",
            smoothing=0,  # time left by the average speed
            delay=delay,
            leave=False,
            disable=None,  # where there is no terminal
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def __call__(self, share: float) -> None:
        if not self._bar.disable:
            self._bar.update(share - self._bar.n)
            return
        now = time.monotonic()
        if share > 0 and now - self._last_line >= self._interval:
            self._last_line = now
            left = (now - self._started) * (1 - share) / share
            print(f"{self._name} {share:.0%}  {tqdm.format_interval(round(left))} left", flush=True)
