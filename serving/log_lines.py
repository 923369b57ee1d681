"""Lines of the log that nobody outside can forge."""

from __future__ import annotations

import logging
import re

# What ends a line, or moves the cursor of a terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class OneLineFormatter(logging.Formatter):
    """Writes a record's message in one line, and indents its traceback.

    Names and paths that clients choose stand in messages and in errors.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, control characters as escapes."""
        return _escaped(super().formatMessage(record))

    def formatException(self, exc_info: object) -> str:
        """The traceback, with every line indented."""
        text = super().formatException(exc_info)  # type: ignore[arg-type]
        return "\n".join(f"    {_escaped(line)}" for line in text.split("\n"))


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
