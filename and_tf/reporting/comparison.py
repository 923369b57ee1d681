"""Several runs side by side, and beside the paper."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from and_tf.figures.bars import bars
from and_tf.figures.curves import curves
from and_tf.figures.page import Page, Picture, Section, Table
from and_tf.judging.comparing import groups, paired_differences, summary
from and_tf.judging.evaluation import TITLES, Evaluation
from and_tf.reporting.published import published_table
from and_tf.runs.assembly import curriculum_of
from and_tf.runs.config import RunConfig
from and_tf.runs.resuming import PLACES
from and_tf.runs.summary import stages

MEASURES = {
    "knn_features": ("kNN features", ".1%"),
    "knn_bank": ("kNN bank", ".1%"),
    "consistency": ("consistent", ".1%"),
    "mutual_neighbours": ("mutual", ".1%"),
    "loss": ("loss", ".3f"),
    "embedding_spread": ("spread", ".2f"),
}

_FREE = ("name", "train", "watchdog", "evaluation")
_PLACES = (*PLACES, "data.in_memory")
"""What changes where and how a run is done, not what comes of it."""

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
        evaluation: Its evaluation.json, None where there is none.
    """

    name: str
    config: RunConfig
    rows: list[dict]
    evaluation: Evaluation | None = None

    def final(self) -> dict:
        """The figures of its last epoch, joined by those of the last discovery."""
        found: dict = {}
        for row in self.rows:
            found |= {key: value for key, value in row.items() if value is not None}
        return found


def comparison_page(runs: Sequence[Compared]) -> Page:
    """What several runs have reached."""
    sections = [_outcome(runs)]
    sections += [each for each in (_evaluations(runs), settings_section(runs)) if each is not None]
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
        facts += [("best kNN top-1", f"{max(best):.1%}"), ("lowest", f"{min(best):.1%}")]
    what = f"{len(runs)} runs side by side: {', '.join(run.name for run in runs)}."
    return Page("Comparison of runs", what, facts, sections, ["Made by python -m and_tf.report."])


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


def _evaluations(runs: Sequence[Compared]) -> Section | None:
    """What `and_tf.evaluate` measured of two runs or more, seeds of one config together; or None."""
    measured = [run.evaluation for run in runs if run.evaluation is not None]
    if len(measured) < 2:
        return None
    named = groups(measured)
    first = next(iter(named.values()))
    columns = []
    for name, members in named.items():
        columns.append(
            (f"{name}, {len(members)} seeds" if len(members) > 1 else name, summary(members))
        )
        if members is not first and (paired := paired_differences(first, members)):
            columns.append(("difference", paired))
    keys = list(dict.fromkeys(key for _, figures in columns for key in figures))
    tables = []
    for part, title in TITLES.items():
        rows = [
            [name, *(f[key].shown() if key in f else "-" for _, f in columns)]
            for key in keys
            if key[0] == part
            for name in [key[1]]
        ]
        if rows:
            tables.append(Table(title, ("", *(column for column, _ in columns)), rows))
    look = "differences (over equal seeds) that are larger than their spread."
    return Section("Evaluations", look, tables)


def settings_section(runs: Sequence[Compared]) -> Section | None:
    """What the runs differ in, and for each number the accuracy against it; None where in nothing."""
    flat = [run.config.by_key() for run in runs]
    differing = [
        key
        for key in flat[0]
        if key == "train.batch_size" or key.split(".")[0] not in _FREE and key not in _PLACES
        if len({str(each[key]) for each in flat}) > 1
    ]
    if not differing:
        return None
    header = ("setting", *(run.name for run in runs))
    cells = [[key, *(str(each[key]) for each in flat)] for key in differing]
    table = Table("Settings that differ", header, cells)
    parts: list[Picture | Table | str] = [table]
    varied = [key for key in differing if key != "seed"]
    if len(varied) == 1 and not any(isinstance(each[varied[0]], bool | str) for each in flat):
        (key,) = varied
        points: dict[float, list[float]] = {}
        for each, run in zip(flat, runs, strict=True):
            if isinstance(each[key], int | float) and "knn_features" in run.final():
                points.setdefault(each[key], []).append(run.final()["knn_features"])
        if len(points) > 1:
            means = {x: sum(points[x]) / len(points[x]) for x in sorted(points)}
            figure = curves(
                {key: (list(means), list(means.values()))}, "", xlabel=key, percent=True
            )
            title = f"kNN top-1 against {key}, all else equal; means over seeds"
            parts.append(Picture("against", title, figure))
    look = (
        "one setting that differs while all else is equal, in the form of the paper's studies of its "
        "settings; where several differ, the accuracy cannot be put down to one."
    )
    return Section("Settings", look, parts)
