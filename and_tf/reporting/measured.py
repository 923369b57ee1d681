"""What `and_tf.evaluate` measured, as figures and a table."""

from __future__ import annotations

from collections.abc import Iterator

from and_tf.figures.bars import bars
from and_tf.figures.curves import curves
from and_tf.figures.page import Picture, Section, Table
from and_tf.judging.evaluating import evaluate_subject
from and_tf.judging.evaluation import TITLES, Evaluation
from and_tf.judging.subject import Subject
from and_tf.runs.run_directory import RunDirectory

SPACES = {"features": "backbone"}
"""What an evaluation calls a space, and the page, on which features are embeddings without augmentation."""


def saved_evaluation(run: RunDirectory) -> Evaluation | None:
    """A run's evaluation.json; None where there is none, or one of another version."""
    try:
        return Evaluation.load(run.evaluation)
    except (OSError, ValueError):
        return None


def evaluation_of(subject: Subject) -> Evaluation:
    """The run's evaluation.json where it is of these embeddings, or else what needs no label.

    Nothing is written.
    """
    found = None if subject.run is None else saved_evaluation(subject.run)
    if found and found.parts and found.subject["fingerprint"] == subject.fingerprint():
        return found
    return evaluate_subject(subject, ["without_labels"])


def evaluation_section(evaluation: Evaluation) -> Section | None:
    """All figures of an evaluation; None where there is none."""
    if not any(True for _ in evaluation.figures()):
        return None
    parts: list[Picture | Table | str] = []
    order = _details(evaluation, "neighbourhoods").get("order")
    if order:
        shares = [(step + 1) / len(order["curve"]) for step in range(len(order["curve"]))]
        line = {"consistent": ([100 * share for share in shares], order["curve"])}
        figure = curves(line, "", xlabel="% of images, the most certain first", percent=True)
        parts.append(Picture("order", "Does entropy put consistent neighbours first?", figure))
    knn = _details(evaluation, "knn")
    if knn:
        settings = evaluation.parts["knn"].settings
        column = settings["temperatures"].index(settings["paper"]["temperature"])
        lines = {
            SPACES.get(space, space): (
                settings["neighbours"],
                [row[column] for row in found["top1"]],
            )
            for space, found in knn.items()
        }
        figure = curves(lines, "", xlabel="neighbours K that vote", percent=True)
        title = f"kNN top-1 by K, temperature {settings['paper']['temperature']:g}"
        parts.append(Picture("knn-by-k", title, figure))
    stages = {
        name.removeprefix("linear on "): figure.value
        for part, name, figure in evaluation.figures()
        if part == "linear" and name.startswith("linear on ") and figure.value is not None
    }
    if stages:
        figure = bars(list(stages), {"accuracy": list(stages.values())}, "", percent=True)
        parts.append(Picture("linear", "Linear classifiers on each stage", figure))
    parts += _tables(evaluation)
    # The verdict stands at the top of the page.
    notes = [(p, note) for p, note in evaluation.notes() if not note.startswith("Verdict")]
    parts += [f"{TITLES[part]}: {note}" for part, note in notes]
    missing = [title for part, title in TITLES.items() if part not in evaluation.parts]
    if "Fine-tuning" in missing:
        missing.remove("Fine-tuning")
    if missing:
        parts.append(f"Not measured: {', '.join(missing)}. python -m and_tf.evaluate does.")
    look = (
        "figures in their healthy range, and an accuracy from few labels that is near that from all. "
        "A curve that falls from left to right says that the curriculum's order is right."
    )
    return Section("Evaluation", look, parts)


def _details(evaluation: Evaluation, part: str) -> dict:
    found = evaluation.parts.get(part)
    return {} if found is None else found.details


def _tables(evaluation: Evaluation) -> Iterator[Table]:
    """One for each part; with sentences on what is healthy where it has them."""
    for part, title in TITLES.items():
        figures = evaluation.parts[part].figures if part in evaluation.parts else {}
        rows = [
            (name, figure.shown(), (figure.healthy or "").removeprefix("Healthy: "))
            for name, figure in figures.items()
        ]
        if any(sentence for *_, sentence in rows):
            yield Table(title, ("", "value", "healthy"), rows, sentences=True)
        elif rows:
            yield Table(title, ("", "value"), [row[:2] for row in rows])
