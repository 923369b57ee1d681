"""One evaluation: what was judged, and what its parts found."""

from __future__ import annotations

import dataclasses
import html
import json
from collections.abc import Collection, Iterator
from pathlib import Path

from and_tf import __version__
from and_tf.files import printable, write_text
from and_tf.judging.findings import Figure, Findings
from and_tf.judging.subject import Subject

FORMAT = 1

TITLES = {
    "without_labels": "Without labels",
    "knn": "kNN",
    "clusters": "Clusters and retrieval",
    "neighbourhoods": "Neighbourhoods",
    "few_labels": "Few labels",
    "linear": "Linear classifiers",
    "fine_tuning": "Fine-tuning",
}


@dataclasses.dataclass
class Evaluation:
    """What was judged, and what was found; it shows itself as a table in a notebook.

    Attributes:
        subject: `name`, `kind`, `path` (its last part), `fingerprint`, `train` and `test` (name and number of images), `classes`,
            `embedding_dim`, `epochs`, `seed` and `config` (both None where not known).
        parts: Name, one of `TITLES`, to what it found.
    """

    subject: dict
    parts: dict[str, Findings] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, subject: Subject) -> Evaluation:
        """An evaluation of a subject in which nothing has been measured yet."""
        config = subject.config
        return cls(
            {
                "name": subject.name,
                "kind": subject.kind,
                "path": subject.path and printable(subject.path.absolute().name),
                "fingerprint": subject.fingerprint(),
                "train": {"name": subject.train.name, "images": len(subject.train)},
                "test": subject.test and {"name": subject.test.name, "images": len(subject.test)},
                "classes": len(subject.class_names),
                "embedding_dim": subject.train.embeddings.shape[1],
                "epochs": subject.epochs,
                "seed": None if config is None else config.seed,
                "config": None if config is None else config.model_dump(mode="json"),
            }
        )

    @property
    def verdict(self) -> str | None:
        """ "collapsed", "not trained yet" or "healthy"; None where it was not asked for."""
        part = self.parts.get("without_labels")
        return None if part is None else part.details.get("verdict")

    def only(self, parts: Collection[str]) -> Evaluation:
        """The same with some parts alone, as far as they were measured."""
        kept = {name: found for name, found in self.parts.items() if name in parts}
        return dataclasses.replace(self, parts=kept)

    def figures(self) -> Iterator[tuple[str, str, Figure]]:
        """Every figure, with its part and its name, in the order of the parts."""
        for part in TITLES:
            if part in self.parts:
                for name, figure in self.parts[part].figures.items():
                    yield part, name, figure

    def table(self) -> str:
        """All figures as a Markdown table, then the notes."""
        lines = ["| part | figure | value |", "| --- | --- | ---: |"]
        lines += [
            f"| {TITLES[part]} | {name} | {figure.shown()} |"
            for part, name, figure in self.figures()
        ]
        return "\n".join([*lines, "", *(f"{TITLES[part]}: {note}" for part, note in self.notes())])

    def notes(self) -> Iterator[tuple[str, str]]:
        """What a reader must know of each part, and what was left out."""
        for part, found in self.parts.items():
            for note in found.notes:
                yield part, note
            if found.skipped:
                yield part, f"left out, {found.skipped}."

    def _repr_html_(self) -> str:
        rows = [
            f"<tr><td>{TITLES[part]}</td><td>{html.escape(name)}</td>"
            f'<td style="text-align:right" title="{html.escape(figure.healthy or "")}">'
            f"{html.escape(figure.shown())}</td></tr>"
            for part, name, figure in self.figures()
        ]
        notes = [f"<li>{TITLES[part]}: {html.escape(note)}</li>" for part, note in self.notes()]
        title = f"<caption>{html.escape(self.subject['name'])}</caption>"
        return f"<table>{title}{''.join(rows)}</table><ul>{''.join(notes)}</ul>"

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        values = {
            "format": FORMAT,
            "and_tf": __version__,
            "subject": self.subject,
            "parts": {name: found.to_json() for name, found in self.parts.items()},
        }
        write_text(path, json.dumps(values, indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Evaluation:
        """What `save` wrote.

        Raises:
            ValueError: The file is none of this format.
            OSError: It cannot be read.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["format"] != FORMAT:
                raise ValueError(f"format {values['format']}")
            parts = {name: Findings.from_json(found) for name, found in values["parts"].items()}
            return cls(values["subject"], parts)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no evaluation of format {FORMAT}: {error}") from error
