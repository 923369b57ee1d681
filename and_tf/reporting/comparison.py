"""Several runs side by side, and beside the paper."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from and_tf.figures.bars import bars
from and_tf.figures.curves import curves
from and_tf.figures.page import Page, Picture, Section, Table
from and_tf.reporting.published import published_table
from and_tf.reporting.training import curriculum_of
from and_tf.runs.config import RunConfig
from and_tf.runs.summary import stages

MEASURES = {
    "knn_features": ("kNN features", ".1%"),
    "knn_bank": ("kNN bank", ".1%"),
    "consistency": ("consistent", ".1%"),
    "mutual_neighbours": ("mutual", ".1%"),
    "loss": ("loss", ".3f"),
    "embedding_spread": ("spread", ".2f"),
}

PAPER_NOTE = (
    "The figures of the paper are those that configs/README.md lists. Its linear classifiers and its "
    "ablations are not among them: their published values are not at hand."
)


@dataclasses.dataclass(frozen=True)
class Compared:
    """One run among others.

    Attributes:
        name: Of its directory, which tells it from the others.
        config: Its config.
        rows: Of its `metrics.jsonl`.
    """

    name: str
    config: RunConfig
    rows: list[dict]

    def final(self) -> dict:
        """The figures of its last epoch, joined by those of the last discovery."""
        found: dict = {}
        for row in self.rows:
            found |= {key: value for key, value in row.items() if value is not None}
        return found


def comparison_page(runs: Sequence[Compared]) -> Page:
    """What several runs have reached."""
    sections = [_outcome(runs)]
    if (settings := _settings(runs)) is not None:
        sections.append(settings)
    paper = Section(
        "Beside the paper",
        "how far a run is from the paper; an empty cell was not run, and fewer images or epochs make "
        "another experiment of it.",
        [
            published_table([(run.config, run.rows) for run in runs]),
            PAPER_NOTE,
        ],
    )
    sections.append(paper)
    best = [run.final()["knn_features"] for run in runs if "knn_features" in run.final()]
    facts = [("runs", f"{len(runs)}")]
    if best:
        facts += [("best kNN top-1", f"{max(best):.1%}"), ("worst", f"{min(best):.1%}")]
    summary = f"{len(runs)} runs side by side: {', '.join(run.name for run in runs)}."
    return Page(
        "Comparison of runs", summary, facts, sections, ["Made by python -m and_tf.report."]
    )


def _outcome(runs: Sequence[Compared]) -> Section:
    parts: list[Picture | Table | str] = []
    for key, title in {
        "knn_features": "kNN top-1, features",
        "loss": "Training loss, nats",
    }.items():
        series = {}
        for run in runs:
            known = [
                row for row in run.rows if row["event"] != "round" and row.get(key) is not None
            ]
            if known:
                series[run.name] = ([r["epoch"] for r in known], [r[key] for r in known])
        if series:
            figure = curves(series, "", percent=key != "loss")
            parts.append(Picture(f"compared-{key.replace('_', '-')}", title, figure))
    by_stage = {run.name: stages(run.rows, curriculum_of(run.config)) for run in runs}
    names = list(dict.fromkeys(name for found in by_stage.values() for name in found))
    values = {
        run: [found.get(name, {}).get("knn_features", float("nan")) for name in names]
        for run, found in by_stage.items()
    }
    if any(math.isfinite(value) for series in values.values() for value in series):
        figure = bars(names, values, "", percent=True)
        parts.append(Picture("compared-rounds", "kNN top-1, features, by round", figure))
    header = ("", "epochs", *(title for title, _ in MEASURES.values()))
    cells = []
    for run in runs:
        final = run.final()
        figures = [
            format(final[key], spec) if key in final else "-" for key, (_, spec) in MEASURES.items()
        ]
        cells.append([run.name, f"{final.get('epoch', 0):,}", *figures])
    parts.append(Table("At the end", header, cells))
    look = "differences larger than those between runs that differ by their seed alone."
    return Section("Outcome", look, parts)


def _settings(runs: Sequence[Compared]) -> Section | None:
    """What the runs differ in, and for each number the accuracy against it; None where in nothing."""
    flat = [_flat(run.config) for run in runs]
    differing = [
        key for key in flat[0] if len({str(each[key]) for each in flat}) > 1 and key != "name"
    ]
    if not differing:
        return None
    header = ("setting", *(run.name for run in runs))
    table = Table(
        "Settings that differ", header, [[k, *(str(f[k]) for f in flat)] for k in differing]
    )
    parts: list[Picture | Table | str] = [table]
    for key in differing:
        points = sorted(
            (each[key], run.final()["knn_features"])
            for each, run in zip(flat, runs, strict=True)
            if isinstance(each[key], int | float) and "knn_features" in run.final()
        )
        if len(points) > 1 and key != "seed":
            series = {key: ([x for x, _ in points], [y for _, y in points])}
            name = "against-" + key.replace(".", "-").replace("_", "-")
            figure = curves(series, "", xlabel=key, percent=True)
            parts.append(Picture(name, f"kNN top-1 against {key}", figure))
    look = (
        "one setting at a time: an accuracy that changes with it while all else is equal (the form of the "
        "paper's studies of its settings)."
    )
    return Section("Settings", look, parts)


def _flat(config: RunConfig) -> dict:
    found: dict = {}
    for section, values in config.model_dump(mode="json").items():
        if isinstance(values, dict):
            found |= {f"{section}.{key}": value for key, value in values.items()}
        else:
            found[section] = values
    return found
