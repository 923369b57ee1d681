"""What an evaluation finds: figures with their settings, part by part."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

Unit = Literal["share", "number"]


class NothingToMeasure(Exception):
    """A part has nothing to measure on this subject; the text says why."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        value: None where it could not be measured.
        unit: "share", which tables show in percent, or "number".
        spread: Standard deviation over draws, where there are several.
        healthy: One sentence on which values are good ones.
    """

    value: float | None
    unit: Unit = "share"
    spread: float | None = None
    healthy: str | None = None

    def shown(self) -> str:
        """As tables show it."""
        if self.value is None:
            return "-"
        if self.unit == "share":
            spread = "" if self.spread is None else f" ± {100 * self.spread:.1f}"
            return f"{100 * self.value:.1f}{spread}%"
        spread = "" if self.spread is None else f" ± {self.spread:.3g}"
        return f"{self.value:.4g}{spread}"


@dataclasses.dataclass
class Findings:
    """What one part found.

    Attributes:
        figures: By name.
        settings: What they were measured with.
        details: Tables, curves and lists behind the figures, for reports; plain JSON.
        notes: What a reader must know, a sentence each.
        skipped: Why nothing was measured.
        seconds: How long it took.
    """

    figures: dict[str, Figure] = dataclasses.field(default_factory=dict)
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    skipped: str | None = None
    seconds: float = 0.0

    def to_json(self) -> dict:
        """Plain JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict) -> Findings:
        """What `to_json` gave."""
        figures = {name: Figure(**figure) for name, figure in values["figures"].items()}
        return cls(**(values | {"figures": figures}))
