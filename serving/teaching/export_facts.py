"""What an export says of itself in `assets.extra/and_tf.json`, as far as the server reads it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class ExportFacts:
    """An export of and_tf.

    Attributes:
        fingerprint: Tells its encoder from any other.
        embedding_dim: d.
        class_names: Of the exported rows; empty where they have no labels.
        taught: What its variables of taught rows are called in the graph; None where it stores no
            rows and therefore cannot be taught.
        signatures: Names.
    """

    fingerprint: str
    embedding_dim: int
    class_names: tuple[str, ...]
    taught: dict[str, str] | None
    signatures: frozenset[str]


def read_export_facts(version: Path) -> ExportFacts | None:
    """The facts of a version's folder; None for a model that and_tf did not export."""
    try:
        text = (version / "assets.extra" / "and_tf.json").read_text(encoding="utf-8")
        facts = json.loads(text)
        if facts["format"] != FORMAT:
            return None
        return ExportFacts(
            fingerprint=facts["fingerprint"],
            embedding_dim=facts["embedding_dim"],
            class_names=tuple(facts["class_names"] or ()),
            taught=facts["taught"],
            signatures=frozenset(facts["signatures"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
