"""How a run went, from its metrics: curves, rounds, and the paper's Figure 6."""

from __future__ import annotations

from collections.abc import Sequence

from and_tf.figures.bars import stacked_bars
from and_tf.figures.curves import curves
from and_tf.figures.page import Picture, Section, Table
from and_tf.runs.assembly import curriculum_of
from and_tf.runs.config import RunConfig
from and_tf.runs.summary import stage_cells

Rows = Sequence[dict]


def training_section(rows: Rows, config: RunConfig) -> Section | None:
    """Learning curves and the table of rounds; None where no epoch is over.

    Args:
        rows: Of `metrics.jsonl`.
        config: Of the run.
    """
    epochs = [row for row in rows if row["event"] == "epoch"]
    if not epochs:
        return None
    curriculum = curriculum_of(config)
    last = epochs[-1]["epoch"]
    starts = [curriculum.first_epoch(r) for r in range(1, curriculum.rounds + 1)]
    starts = [start for start in starts if start < last]
    parts: list[Picture | Table] = [
        Picture("loss", "Training loss", curves({"loss": _line(epochs, "loss")}, "nats", starts))
    ]
    accuracies = {
        "bank": _line(epochs, "knn_bank"),
        "features": _line([row for row in rows if row["event"] != "round"], "knn_features"),
    }
    accuracies = {name: line for name, line in accuracies.items() if line[0]}
    if accuracies:
        figure = curves(accuracies, "", starts, percent=True)
        parts.append(Picture("accuracy", "Weighted kNN top-1, no label in training", figure))
    spread = _line(epochs, "embedding_spread")
    if spread[0]:
        figure = curves({"spread": spread}, "", starts)
        title = "Spread of the bank: 1 all over the sphere, 0 one point"
        parts.append(Picture("spread", title, figure))
    header, *cells = stage_cells(rows, curriculum)
    parts.append(Table("At the end of each round", header, cells))
    look = (
        "a loss that falls within each round and steps where a new one begins, an accuracy that rises "
        "from round to round, and a spread that stays well above zero."
    )
    return Section("Training", look, parts)


def rounds_section(rows: Rows, config: RunConfig) -> Section | None:
    """What each discovery found; None for a run without rounds."""
    found = [row for row in rows if row["event"] == "round"]
    if not found:
        return None
    names = [f"round {row['round']}" for row in found]
    entropy = {
        "all images": _line(found, "entropy", "round"),
        "anchors": _line(found, "anchor_entropy", "round"),
    }
    shares = {"mutual": _line(found, "mutual_neighbours", "round")}
    labelled = [row for row in found if row.get("consistency") is not None]
    if labelled:
        shares = {"consistent": _line(labelled, "consistency", "round")} | shares
    parts = [
        Picture(
            "entropy",
            "Mean entropy of the neighbourhoods, nats",
            curves(entropy, "", xlabel="round"),
        ),
        Picture(
            "consistency",
            "Neighbours of one class (consistent), and of each other (mutual)"
            if labelled
            else "Nearest neighbours of each other (mutual)",
            curves(shares, "", xlabel="round", percent=True),
        ),
    ]
    if len(labelled) == len(found):
        pairs = [row["anchors"] * config.curriculum.neighbours for row in found]
        right = [round(n * row["consistency"]) for n, row in zip(pairs, found, strict=True)]
        wrong = [n - r for n, r in zip(pairs, right, strict=True)]
        figure = stacked_bars(names, {"consistent": right, "inconsistent": wrong}, "")
        title = "Neighbours of the anchors, by round (the paper's Figure 6)"
        parts.append(Picture("figure-6", title, figure))
    look = "anchors of a lower entropy than all images" + (
        ", and more consistent neighbours in each round while inconsistent ones stay few."
        if labelled
        else ", and mutual neighbours of a third or more."
    )
    return Section("Rounds", look, parts)


def _line(rows: Rows, key: str, x: str = "epoch") -> tuple[list[float], list[float]]:
    """(x, y) of the rows that have a figure."""
    kept = [row for row in rows if row.get(key) is not None]
    return [row[x] for row in kept], [row[key] for row in kept]
