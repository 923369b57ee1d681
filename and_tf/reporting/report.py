"""The report of one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from and_tf.errors import RunError
from and_tf.figures.page import Page, Section
from and_tf.judging.evaluation import Evaluation
from and_tf.judging.subject import Subject
from and_tf.reporting.attention import attention_section
from and_tf.reporting.classes import clusters_section, confusion_section, odd_section
from and_tf.reporting.gathered import Gathered
from and_tf.reporting.mapping import map_section
from and_tf.reporting.measured import evaluation_of, evaluation_section
from and_tf.reporting.neighbours import curriculum_section, neighbours_section
from and_tf.reporting.published import published_table
from and_tf.reporting.training import rounds_section, training_section
from and_tf.reporting.views import views_section
from and_tf.runs.assembly import curriculum_of
from and_tf.runs.config import RunConfig
from and_tf.runs.summary import stages, versions

Part = tuple[str, Callable[[], Section | None]]
"""What it is called, and what makes it."""


def run_page(subject: Subject, rows: list[dict], say: Callable[[str], None]) -> Page:
    """All that there is to show of a run.

    Args:
        subject: The run, with its images.
        rows: Of its `metrics.jsonl`.
        say: Told what is being made.

    Raises:
        RunError: What was given is not a run, or has too few images.
    """
    config = subject.config
    if config is None or subject.train.image_set is None:
        raise RunError(f"A report is of a run directory. Received: {subject.kind} {subject.name}")
    if len(subject.train) < 3:
        raise RunError(
            f"A report needs three images or more to compare. Received: {len(subject.train)}"
        )
    say("measures")
    evaluation = evaluation_of(subject)
    sections = []
    for name, make in parts_of(subject, rows, config, evaluation):
        say(name)
        section = make()
        if section is not None:
            sections.append(section)
    return Page(
        f"{subject.name}: report",
        summary(subject.train.name, len(subject.train), config),
        [("verdict", evaluation.verdict or "-"), *facts(subject, rows, config)],
        sections,
        notes(subject, config),
    )


def parts_of(
    subject: Subject, rows: list[dict], config: RunConfig, evaluation: Evaluation
) -> Iterator[Part]:
    """The parts of a report in their order; what they share is computed once."""
    gathered = Gathered(subject)
    yield "training", lambda: training_section(rows, config)
    yield "rounds", lambda: rounds_section(rows, config)
    yield "evaluation", lambda: evaluation_section(evaluation)
    yield "published figures", lambda: published_section(rows, config)
    yield "map", lambda: map_section(gathered)
    yield "neighbours", lambda: neighbours_section(gathered)
    yield "curriculum", lambda: curriculum_section(gathered)
    yield "Grad-CAM", lambda: attention_section(gathered)
    yield "confusion", lambda: confusion_section(gathered)
    yield "clusters", lambda: clusters_section(gathered)
    yield "outliers", lambda: odd_section(gathered)
    yield "augmented views", lambda: views_section(subject.train, config)


def published_section(rows: list[dict], config: RunConfig) -> Section | None:
    """The run beside the paper, where the paper has its data set."""
    table = published_table([(config, rows)], only_run=True)
    if not table.rows:
        return None
    look = (
        "how far the run is from the paper; fewer images or epochs make another experiment of it."
    )
    return Section("Beside the paper", look, [table])


def summary(images: str, count: int, config: RunConfig) -> str:
    """What was trained on what, in one sentence."""
    epochs = curriculum_of(config).total_epochs
    return (
        f"{config.encoder.name} (width {config.encoder.width:g}), trained on {count:,} images of {images} "
        f"without labels: {config.curriculum.rounds} rounds after round 0, {epochs:,} epochs in all."
    )


def facts(subject: Subject, rows: list[dict], config: RunConfig) -> list[tuple[str, str]]:
    """What is asked first."""
    found = []
    known = [row for row in rows if row.get("knn_features") is not None]
    if known:
        found.append(("kNN top-1, features", f"{known[-1]['knn_features']:.1%}"))
    if known and known[0]["event"] == "untrained":
        found.append(("untrained", f"{known[0]['knn_features']:.1%}"))
    stage = list(stages(rows, curriculum_of(config)).values())
    consistent = [each["consistency"] for each in stage if each.get("consistency") is not None]
    if consistent:
        found.append(("consistent", f"{consistent[-1]:.1%}"))
    spread = [row["embedding_spread"] for row in rows if row.get("embedding_spread") is not None]
    if spread:
        found.append(("spread", f"{spread[-1]:.2f}"))
    total = curriculum_of(config).total_epochs
    if subject.epochs is not None:
        found.append(("epochs", f"{subject.epochs:,} of {total:,}"))
    seconds = sum(row.get("seconds") or 0 for row in rows if row["event"] == "epoch")
    found.append(("training time", duration(seconds)))
    return found


def duration(seconds: float) -> str:
    """A time that is read at a glance."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def notes(subject: Subject, config: RunConfig) -> list[str]:
    """How the figures came to be, and what is left out."""
    kept = []
    total = curriculum_of(config).total_epochs
    if subject.epochs is not None and subject.epochs < total:
        kept.append(f"The run is not over: this is its checkpoint after {subject.epochs:,} epochs.")
    if subject.train.labels is None:
        kept.append("The images have no labels: parts that need them are left out.")
    elif np.any(subject.train.labels < 0):
        count = int((subject.train.labels >= 0).sum())
        kept.append(f"{count:,} of {len(subject.train):,} training images have a label.")
    missing = [r for r in range(config.curriculum.rounds + 1) if r not in subject.rounds]
    if missing:
        which = "no round" if len(missing) > config.curriculum.rounds else "not all rounds"
        kept.append(
            f"Checkpoints of {which} are kept: train with train.keep_rounds=true to see what the "
            "curriculum takes, and Grad-CAM, round by round."
        )
    if subject.train.labels is not None:
        evaluation = config.evaluation
        kept.append(
            f"kNN: K={evaluation.knn_neighbours}, temperature {evaluation.knn_temperature:g}; features are "
            "the training images embedded anew, without augmentation."
        )
    kept.append(
        f"Made by and_tf {versions()['and_tf']}: python -m and_tf.report. Seed {config.seed}."
    )
    return kept
