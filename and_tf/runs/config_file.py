"""Read JSON that a person wrote, and say where it goes wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """Everything that is wrong with a config, one problem a line.

    Each line reads `section.key: what was wrong. Received: value.`
    """

    def __init__(self, problems: Sequence[str]):
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def problem_line(key: str, problem: str, value: Any) -> str:
    """One problem as every config error states it."""
    received = json.dumps(value, ensure_ascii=False)
    if len(received) > 80:
        received = received[:77] + "..."
    return f"{key}: {problem}. Received: {received}."


def read_text(path: Path) -> str:
    """The text of a UTF-8 file.

    Raises:
        ConfigError: missing, a directory, unreadable, or not text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        reason = "no such config file"
    except IsADirectoryError:
        reason = "is a directory; give a JSON file"
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8 text (byte {error.start}); give a JSON file"
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    raise ConfigError([problem_line(str(path), reason, str(path))])


class _Pairs(list):
    """A JSON object as it stands in the text, repeated keys included."""


def parse_json(text: str, where: str, key: str, problems: list[str]) -> Any:
    """The value of a JSON text, with tuples for lists.

    Args:
        where: names the text when it is malformed.
        key: dotted key of the value, to name what lies inside it.
        problems: takes a line for every key that an object holds twice.

    Raises:
        ConfigError: malformed JSON.
    """
    try:
        return _plain(json.loads(text, object_pairs_hook=_Pairs), key, problems)
    except json.JSONDecodeError as error:
        rest = text[error.pos : error.pos + 20].split("\n")[0]
        place = f"{where}, line {error.lineno}, column {error.colno}"
        raise ConfigError([problem_line(place, f"malformed JSON: {error.msg}", rest)]) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError([problem_line(where, f"malformed JSON: {error}", text)]) from None


def _plain(value: Any, key: str, problems: list[str]) -> Any:
    """Objects to dicts and lists to tuples; notes keys that an object holds twice."""
    if isinstance(value, _Pairs):
        plain: dict[str, Any] = {}
        for name, item in value:
            inner = f"{key}.{name}" if key else name
            if name in plain:
                problems.append(problem_line(inner, "appears more than once", item))
            plain[name] = _plain(item, inner, problems)
        return plain
    if isinstance(value, list):
        return tuple(_plain(item, f"{key}[{i}]", problems) for i, item in enumerate(value))
    return value
