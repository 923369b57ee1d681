"""What an export says of itself in `assets.extra/and_tf.json`, as far as the server reads it."""

from __future__ import annotations

import dataclasses
import json

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


def read_export_facts(description: bytes | None) -> ExportFacts | None:
    """The facts in a version's `assets.extra/and_tf.json`; None for what and_tf did not export."""
    try:
        facts = json.loads(description or b"")
        if facts["format"] != FORMAT:
            return None
        return ExportFacts(
            fingerprint=facts["fingerprint"],
            embedding_dim=facts["embedding_dim"],
            class_names=tuple(facts["class_names"] or ()),
            taught=facts["taught"],
            signatures=frozenset(facts["signatures"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
