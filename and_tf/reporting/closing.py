"""The report that a run ends with: what can be shown in a small part of the run's time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from and_tf.data.image_set import ImageSet
from and_tf.distribution.workers import Workers
from and_tf.figures.page import Page, Section, write_page
from and_tf.judging.from_run import kept_rounds
from and_tf.judging.subject import Part, Subject
from and_tf.method.model import AND
from and_tf.method.sharded_bank import ShardedBank
from and_tf.reporting.gathered import Gathered
from and_tf.reporting.mapping import map_section
from and_tf.reporting.neighbours import neighbours_section
from and_tf.reporting.report import facts, notes, summary
from and_tf.reporting.training import rounds_section, training_section
from and_tf.reporting.views import views_section
from and_tf.runs.config import RunConfig
from and_tf.runs.paths import shown
from and_tf.runs.run_directory import RunDirectory

SHARE = 0.05
"""Of the run's time that its report may take."""
LEAST_SECONDS, MOST_SECONDS = 5.0, 60.0
"""The bounds of that time; the curves of a run of seconds are drawn, too."""


def closing_report(run: RunDirectory, config: RunConfig, model: AND, images: ImageSet) -> Path:
    """Write a run's report from what is in memory: its metrics, its bank, its images.

    Parts are left out for which the time would not do; the page says which, and how to have all.

    Args:
        run: Where it goes.
        config: Of the run.
        model: As it was trained.
        images: That it was trained on.

    Returns:
        The path of the HTML file.
    """
    started = time.monotonic()
    rows = run.read_metrics()
    trained = sum(row.get("seconds") or 0 for row in rows if row["event"] == "epoch")
    limit = min(MOST_SECONDS, max(LEAST_SECONDS, SHARE * trained))
    # Of a bank in shards, other machines hold parts, and they have left.
    has_bank = not (
        isinstance(model.bank, ShardedBank) and Workers(model.distribute_strategy).count > 1
    )
    bank = model.bank.numpy() if has_bank else np.empty((model.num_examples, 0), np.float32)
    subject = subject_of_bank(run, config, model, images, bank)
    made = [section for section in (training_section(rows, config), rounds_section(rows, config))]
    left_out = [
        "measures",
        "neighbour layout",
        "curriculum",
        "Grad-CAM",
        "confusion",
        "clusters",
        "outliers",
    ]
    for name, seconds, make in optional_parts(subject, config):
        # Images that are not in memory would be read and decoded anew.
        is_at_hand = has_bank and images.images is not None
        if is_at_hand and time.monotonic() - started + seconds < limit:
            made.append(make())
        else:
            left_out.append(name)
    lighter = (
        f"Left out at the end of a run to save time: {', '.join(left_out)}. All of it: "
        f"python -m and_tf.report {shown(run.path)}"
    )
    page = Page(
        f"{config.name}: report",
        summary(images.name, images.num_examples, config),
        facts(subject, rows, config),
        [section for section in made if section is not None],
        [lighter, *notes(subject, config)],
    )
    return write_page(page, run.path)


def subject_of_bank(
    run: RunDirectory, config: RunConfig, model: AND, images: ImageSet, bank: np.ndarray
) -> Subject:
    """A run whose bank stands for the embeddings of its images, which costs nothing."""
    count = images.num_examples
    names = images.class_names
    if names is None:
        most = -1 if images.labels is None else int(images.labels.max())
        names = tuple(map(str, range(most + 1)))
    part = Part(
        images.name,
        bank,
        images.labels,
        images.sources or [f"{images.name}:{index}" for index in range(count)],
        image_set=images,
        rows=np.arange(count),
    )
    return Subject(
        config.name,
        "run",
        run.path,
        part,
        None,
        names,
        bank=bank,
        temperature=config.objective.temperature,
        config=config,
        run=run,
        epochs=model.examples_seen // model.num_examples,
        rounds=kept_rounds(run, config),
    )


def optional_parts(
    subject: Subject, config: RunConfig
) -> list[tuple[str, float, Callable[[], Section]]]:
    """What may be left out: its name, about how many seconds it takes on two busy cores, what makes it."""
    gathered, count = Gathered(subject), len(subject.train)
    if count < 3:
        return []
    return [
        ("map", 3 + count / 2000, lambda: map_section(gathered, light=True)),
        ("neighbours", 3 + 2e-8 * count**2, lambda: neighbours_section(gathered)),
        ("augmented views", 4, lambda: views_section(subject.train, config)),
    ]
