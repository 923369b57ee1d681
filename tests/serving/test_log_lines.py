"""Lines of the log."""

from __future__ import annotations

import logging
import sys

from serving.log_lines import OneLineFormatter


def test_nothing_begins_a_line_but_the_format() -> None:
    try:
        raise ValueError("a\nINFO forged\x1b[2J\u2028b")
    except ValueError:
        info = sys.exc_info()
    record = logging.LogRecord("n", logging.ERROR, "f", 1, "m\n%s", ("x\ry",), info)
    first, *others = OneLineFormatter("INFO %(message)s").format(record).splitlines()
    assert first == "INFO m\\nx\\ry"
    assert others and all(line.startswith("    ") for line in others)
    assert "ValueError: a" in others[-2] and others[-1].endswith("INFO forged\\x1b[2J\\u2028b")
