"""What came of a run: the table that ends it, and its model card."""

from __future__ import annotations

import importlib.metadata
import platform

from and_tf.config import RunConfig
from and_tf.curriculum import Curriculum
from and_tf.data.image_set import ImageSet


def versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    packages = ("keras", "numpy", "tensorflow", "tensorflow-datasets", "pillow", "scikit-learn")
    found = {"python": platform.python_version(), "platform": platform.platform()}
    return found | {package: importlib.metadata.version(package) for package in packages}


def result_table(rows: list[dict], curriculum: Curriculum) -> str:
    """A line for the untrained encoder and for each round, from the rows of `metrics.jsonl`.

    Args:
        rows: See `and_tf.progress.Progress`.
        curriculum: The run's.

    Returns:
        A Markdown table: kNN accuracy at each round's end where there are labels, and what the
        discovery at its start found.
    """
    lines = [
        "| | epochs | loss | kNN bank | kNN features | consistent | mutual | anchor entropy |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    untrained = next((row for row in rows if row["event"] == "untrained"), {})
    discoveries = {row["round"]: row for row in rows if row["event"] == "round"}
    epochs = {row["epoch"]: row for row in rows if row["event"] == "epoch"}

    def line(name: str, epoch: int, at_end: dict, discovery: dict) -> str:
        cells = [
            _cell(at_end, "loss", ".3f"),
            _cell(at_end, "knn_bank", ".1%"),
            _cell(at_end, "knn_features", ".1%"),
            _cell(discovery, "consistency", ".1%"),
            _cell(discovery, "mutual_neighbours", ".1%"),
            _cell(discovery, "anchor_entropy", ".3f"),
        ]
        return f"| {name} | {epoch} | {' | '.join(cells)} |"

    lines.append(line("untrained", 0, untrained, {}))
    for round_index in range(curriculum.rounds + 1):
        epoch = curriculum.first_epoch(round_index) + curriculum.epochs_of(round_index)
        if epoch in epochs:
            discovery = discoveries.get(round_index, {})
            lines.append(line(f"round {round_index}", epoch, epochs[epoch], discovery))
    return "\n".join(lines)


def _cell(row: dict, name: str, spec: str) -> str:
    return format(row[name], spec) if name in row else "-"


def evaluation_note(config: RunConfig, train: ImageSet, test: ImageSet | None) -> str:
    """How the accuracies of a run were measured, in one sentence."""
    if train.labels is None:
        return "The images have no labels, so there is no accuracy to state."
    settings = config.evaluation
    who = (
        f"{test.num_examples:,} test images are classified"
        if test is not None
        else f"the {train.num_examples:,} training images are classified, each by the others,"
    )
    voters = min(settings.knn_neighbours, train.num_examples - (test is None))
    return (
        f"Weighted kNN top-1: {who} by K={voters} of the {train.num_examples:,} "
        f'training images, temperature {settings.knn_temperature:g}. "bank": the memory bank '
        'votes as training left it; "features": the training images embedded anew, without '
        "augmentation, vote."
    )


def model_card(
    config: RunConfig,
    train: ImageSet,
    test: ImageSet | None,
    rows: list[dict],
    curriculum: Curriculum,
) -> str:
    """The run's model card, Markdown."""
    encoder, height_width = config.encoder, f"{train.image_shape[0]}x{train.image_shape[1]}"
    labels = "with labels, used to evaluate only" if train.labels is not None else "without labels"
    return f"""# {config.name}

An image encoder trained without labels by neighbourhood discovery (AND, ICML 2019).

| | |
| --- | --- |
| encoder | {encoder.name}, width {encoder.width:g} |
| input | {height_width} RGB images as they are stored, 0-255; normalised inside |
| output | {encoder.embedding_dim}-d unit embeddings, float32 |
| trained on | {train.name}, {train.num_examples:,} images, {labels} |
| schedule | {curriculum.rounds} rounds after round 0, {curriculum.total_epochs} epochs, \
batch {config.train.batch_size} |
| seed | {config.seed} |

## Results

{result_table(rows, curriculum)}

{evaluation_note(config, train, test)} "consistent": share of (anchor, neighbour) pairs of one
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
