"""Several evaluations side by side: mean and spread over seeds, differences over equal seeds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import numpy as np

from and_tf.judging.evaluation import TITLES, Evaluation
from and_tf.judging.findings import Figure
from and_tf.runs.resuming import PLACES

# What tells the runs of one experiment apart: which seed, what they are called; and where
# images lie.
_FREE = ("name", "seed", "train", "watchdog", "evaluation")


def groups(evaluations: Sequence[Evaluation]) -> dict[str, list[Evaluation]]:
    """Evaluations by what they are of: runs whose configs differ by the seed alone are together.

    Returns:
        By name: of the first of a group; where two groups have one name, with its path's, and a number
        where these are the same, too.
    """
    found: dict[str, list[Evaluation]] = {}
    for number, evaluation in enumerate(evaluations):
        config = evaluation.subject["config"]
        key = str(number)
        if evaluation.subject["kind"] == "run" and config is not None:
            kept = {name: value for name, value in config.items() if name not in _FREE}
            kept["data"] = {k: v for k, v in kept["data"].items() if f"data.{k}" not in PLACES}
            key = json.dumps([kept, evaluation.subject["epochs"]], sort_keys=True)
        found.setdefault(key, []).append(evaluation)
    names = Counter(members[0].subject["name"] for members in found.values())
    named: dict[str, list[Evaluation]] = {}
    for members in found.values():
        name, path = members[0].subject["name"], members[0].subject["path"]
        if names[name] > 1 and path is not None:
            name = f"{name} in {path}"
        named[f"{name} #{len(named) + 1}" if name in named else name] = members
    return named


def summary(members: Sequence[Evaluation]) -> dict[tuple[str, str], Figure]:
    """Mean and standard deviation of each figure that all members have."""
    values: dict[tuple[str, str], list[Figure]] = {}
    for member in members:
        for part, name, figure in member.figures():
            if figure.value is not None:
                values.setdefault((part, name), []).append(figure)
    return {key: _mean(found) for key, found in values.items() if len(found) == len(members)}


def _mean(figures: Sequence[Figure]) -> Figure:
    values = [figure.value for figure in figures if figure.value is not None]
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Figure(float(np.mean(values)), figures[0].unit, spread)


def paired_differences(
    one: Sequence[Evaluation], other: Sequence[Evaluation]
) -> dict[tuple[str, str], Figure]:
    """Mean and standard deviation of other - one over the seeds that both have."""
    by_seed = [
        {member.subject["seed"]: member for member in members if member.subject["seed"] is not None}
        for members in (one, other)
    ]
    differences: dict[tuple[str, str], list[Figure]] = {}
    for seed in by_seed[0].keys() & by_seed[1].keys():
        before = {(part, name): figure for part, name, figure in by_seed[0][seed].figures()}
        for part, name, figure in by_seed[1][seed].figures():
            base = before.get((part, name))
            if base is not None and base.value is not None and figure.value is not None:
                difference = Figure(figure.value - base.value, figure.unit)
                differences.setdefault((part, name), []).append(difference)
    return {key: _mean(found) for key, found in differences.items()}


def comparison_table(evaluations: Sequence[Evaluation]) -> str:
    """A Markdown table: a column for each group, and its difference to the first over equal seeds."""
    named = groups(evaluations)
    first = next(iter(named.values()))
    columns: list[tuple[str, dict[tuple[str, str], Figure]]] = []
    verdicts = []
    for name, members in named.items():
        runs = "1 run" if len(members) == 1 else f"{len(members)} runs"
        columns.append((f"{name} ({runs})", summary(members)))
        verdicts.append(", ".join(sorted({str(each.verdict or "-") for each in members})))
        if members is not first and (paired := paired_differences(first, members)):
            seeds = {each.subject["seed"] for each in first}
            pairs = len(seeds & {each.subject["seed"] for each in members})
            columns.append((f"difference ({pairs} equal seeds)", paired))
            verdicts.append("-")
    keys = dict.fromkeys(key for _, figures in columns for key in figures)
    lines = [
        f"| | | {' | '.join(title for title, _ in columns)} |",
        f"| --- | --- |{' ---: |' * len(columns)}",
    ]
    if set(verdicts) != {"-"}:
        lines.append(f"| {TITLES['without_labels']} | verdict | {' | '.join(verdicts)} |")
    for part, name in sorted(keys, key=lambda key: list(TITLES).index(key[0])):
        cells = [
            figures[part, name].shown() if (part, name) in figures else "-"
            for _, figures in columns
        ]
        lines.append(f"| {TITLES[part]} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
