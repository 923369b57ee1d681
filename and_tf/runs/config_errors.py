"""What a person is told of a config that pydantic refused: one line for each key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from and_tf.runs.config_file import problem_line

_ADVICE = {
    "model_type": "is a section and should be an object, {...}",
    "missing": "is missing from the list",
    "tuple_type": "should be a list, [...]",
    "string_type": 'should be a string, "..." in double quotes',
    "string_pattern_mismatch": "should be letters, digits, dots, dashes and underscores",
    "bool_type": "should be true or false",
    "int_type": "should be an integer",
    "float_type": "should be a number",
}


@dataclass(frozen=True)
class KnownKeys:
    """The keys of a config.

    Attributes:
        top: the names of sections and of keys outside of sections.
        sections: the dotted keys of each section.
    """

    top: list[str]
    sections: dict[str, list[str]]

    @classmethod
    def of(cls, config: type[BaseModel]) -> KnownKeys:
        """The keys of a model whose sections are models."""
        sections = {
            name: [f"{name}.{key}" for key in field.annotation.model_fields]
            for name, field in config.model_fields.items()
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        }
        return cls(list(config.model_fields), sections)

    @property
    def dotted(self) -> list[str]:
        """Every key that takes a value, such as `curriculum.rounds`."""
        return [key for name in self.top for key in self.sections.get(name, [name])]


def explain(error: ValidationError, known: KnownKeys) -> Iterator[str]:
    """One line for each key that pydantic refused."""
    alternatives: dict[str, tuple[list[str], Any]] = {}
    for item in error.errors(include_url=False):
        if item["type"] == "extra_forbidden":
            yield unknown_key(".".join(map(str, item["loc"])), item["input"], known)
            continue
        # Inside a union, pydantic appends the alternative's name to the key.
        key = ".".join(str(part) for part in item["loc"][:2])
        if isinstance(item["loc"][-1], int):
            key += f"[{item['loc'][-1]}]"
        reason = _ADVICE.get(item["type"])
        if reason is None:
            reason = re.sub(r"^(Value error,|Input|Tuple|String) ", "", item["msg"])
            reason = reason.replace(" after validation", "")
        alternatives.setdefault(key, ([], item["input"]))[0].append(reason)
    for key, (reasons, value) in alternatives.items():
        yield problem_line(key, ", or ".join(reasons), value)


def unknown_key(key: str, value: Any, known: KnownKeys) -> str:
    """The line for an unknown key, with the nearest key of its section, else of any section."""
    line = problem_line(key, "unknown key", value)
    section, _, name = key.rpartition(".")
    if section in known.dotted:
        return f"{line} Did you mean {section}?"
    siblings = known.sections.get(section, known.top)
    for candidates in (siblings, known.dotted + known.top):
        leaves = [candidate.rpartition(".")[2] for candidate in candidates]
        near = difflib.get_close_matches(name, leaves, n=1)
        if near:
            same = [other for other in candidates if other.rpartition(".")[2] == near[0]]
            best = difflib.get_close_matches(key, same, n=1, cutoff=0)
            return f"{line} Did you mean {best[0]}?"
    return f"{line} Known here: {', '.join(siblings)}."
