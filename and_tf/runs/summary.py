"""What came of a run: the table that ends it, and its model card."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from collections.abc import Sequence

import and_tf
from and_tf.data.image_set import ImageSet
from and_tf.method.callbacks import KNNEvaluation, why_no_evaluation
from and_tf.method.curriculum import Curriculum
from and_tf.runs.classes import class_line
from and_tf.runs.config import RunConfig


def versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    packages = [
        *("keras", "numpy", "tensorflow", "tensorflow-datasets", "pillow", "scikit-learn"),
        *(["scann"] if importlib.util.find_spec("scann") else []),
    ]
    found = {
        "and_tf": and_tf.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    return found | {package: importlib.metadata.version(package) for package in packages}


def stages(rows: Sequence[dict], curriculum: Curriculum) -> dict[str, dict]:
    """The untrained encoder and every round that is over, each with its figures.

    Args:
        rows: Of `metrics.jsonl`, see `and_tf.runs.progress.Progress`.
        curriculum: The run's.

    Returns:
        For "untrained", "round 0", "round 1", ...: the row of the last epoch, joined by what the
        discovery at the round's start found. `epoch` is how many epochs were over.
    """
    discoveries = {row["round"]: row for row in rows if row["event"] == "round"}
    found = {}
    for row in rows:
        if row["event"] == "untrained":
            found["untrained"] = row
        elif row["event"] == "epoch" and curriculum.ends_round(row["epoch"] - 1):
            found[f"round {row['round']}"] = discoveries.get(row["round"], {}) | row
    return found


_COLUMNS = {
    "epoch": ("epochs", "d"),
    "loss": ("loss", ".3f"),
    "knn_bank": ("kNN bank", ".1%"),
    "knn_features": ("kNN features", ".1%"),
    "consistency": ("consistent", ".1%"),
    "mutual_neighbours": ("mutual", ".1%"),
    "anchor_entropy": ("anchor entropy", ".3f"),
}


def result_table(rows: list[dict], curriculum: Curriculum) -> str:
    """The `stages` of a run as a Markdown table."""
    header, *cells = stage_cells(rows, curriculum)
    rule = ["---", *["---:"] * len(_COLUMNS)]
    return "\n".join(
        f"| {' | '.join(each)} |".replace("|  |", "| |") for each in (header, rule, *cells)
    )


def stage_cells(rows: Sequence[dict], curriculum: Curriculum) -> list[list[str]]:
    """The `stages` of a run as the cells of a table, its header first.

    A figure that was not measured is a dash.
    """
    found = [["", *(title for title, _ in _COLUMNS.values())]]
    for name, figures in stages(rows, curriculum).items():
        cells = [
            "-" if figures.get(key) is None else format(figures[key], spec)
            for key, (_, spec) in _COLUMNS.items()
        ]
        found.append([name, *cells])
    return found


def evaluation_note(
    evaluation: KNNEvaluation | None, images: ImageSet, test: ImageSet | None
) -> str:
    """How the accuracies of a run on such images are measured, in one sentence."""
    if evaluation is None:
        reason = why_no_evaluation(images, test)
        return f"There is no accuracy to state: {reason}."
    voters, voting = _labelled(images, "training images")
    if test is None:
        who = f"{voting} are classified, each by the others,"
    else:
        who = f"{_labelled(test, 'test images')[1]} are classified"
    votes = min(evaluation.neighbours, voters - (test is None))
    return (
        f"Weighted kNN top-1: {who} by K={votes} of the {voting}, temperature "
        f'{evaluation.temperature:g}. "bank": the memory bank votes as training left it; '
        '"features": the training images embedded anew, without augmentation, vote.'
    )


def _labelled(images: ImageSet, what: str) -> tuple[int, str]:
    """How many images have a label, also in words."""
    assert images.labels is not None
    count = int((images.labels >= 0).sum())
    if count == images.num_examples:
        return count, f"{count:,} {what}"
    return count, f"{count:,} labelled of {images.num_examples:,} {what}"


def model_card(
    config: RunConfig,
    train: ImageSet,
    test: ImageSet | None,
    evaluation: KNNEvaluation | None,
    rows: list[dict],
    curriculum: Curriculum,
) -> str:
    """The run's model card, Markdown."""
    encoder, height_width = config.encoder, f"{train.image_shape[0]}x{train.image_shape[1]}"
    labels = f"{class_line(train)}; labels serve to evaluate only"
    return f"""# {config.name}

An image encoder trained without labels by neighbourhood discovery (AND, ICML 2019).

| | |
| --- | --- |
| encoder | {encoder.name}, width {encoder.width:g} |
| input | {height_width} RGB images as they are stored, 0-255; normalised inside |
| output | {encoder.embedding_dim}-d unit embeddings, float32 |
| trained on | {train.name}, {train.num_examples:,} images |
| labels | {labels} |
| objective | temperature {config.objective.temperature:g}, bank momentum \
{config.objective.bank_momentum:g}, {config.curriculum.neighbours} neighbours of an anchor |
| schedule | {curriculum.rounds} rounds after round 0, {curriculum.total_epochs} epochs, \
batch {config.train.batch_size} |
| seed | {config.seed} |

## Results

{result_table(rows, curriculum)}

{evaluation_note(evaluation, train, test)} "consistent": share of (anchor, neighbour) pairs of one
class at the round's start. "mutual": share of images that are the nearest neighbour of their own
nearest neighbour. Entropies are in nats.

## Use

```python
import keras
import and_tf

model = keras.models.load_model("model.keras")
embeddings = model.predict(images)  # uint8 [n, {train.image_shape[0]}, {train.image_shape[1]}, 3]
```

## Limits

The encoder has seen {train.name} alone. Similarity between embeddings follows what these images
show, backgrounds and biases of their collection included; on other images, measure first.
"""
