"""An exported version as what is judged: its rows, and test images that a config names."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from and_tf.data.image_set import ImageSet
from and_tf.errors import RunError
from and_tf.judging.embedding import known_or_none, unit_rows
from and_tf.judging.from_run import load_images
from and_tf.judging.subject import Part, Subject
from and_tf.runs.commands import refusing_bad_input
from and_tf.runs.config import load_config
from and_tf.runs.paths import expanded, shown

DESCRIPTION = "assets.extra/and_tf.json"
_ROWS, _LABELS, _SOURCES = (
    f"bank/_{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in ("rows", "labels", "sources")
)


def load_export(
    folder: Path, config: str | Path | None = None, overrides: Sequence[str] = ()
) -> Subject:
    """The rows that an export stores, and the test images of a config as it embeds them.

    Args:
        folder: The version's.
        config: A JSON file; without it the rows judge each other.
        overrides: `KEY=VALUE`.

    Raises:
        RunError: It has no rows, or it cannot be read.
    """
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    name = f"{description['name']}-{folder.name}"
    if not description["num_rows"]:
        raise RunError(
            f"The export has no rows to judge (--rows none). Export it with rows, or evaluate its run. "
            f"Received: {shown(folder)}"
        )
    try:
        stored = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        rows, labels, sources = map(stored.get_tensor, (_ROWS, _LABELS, _SOURCES))
    except (ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"The export cannot be read: {reason}. Received: {shown(folder)}") from error
    train = Part(
        "rows of the export",
        unit_rows(rows, name),
        known_or_none(labels),
        [source.decode("utf-8", "replace") for source in sources],
    )
    class_names = list(description["class_names"] or [])
    test = None
    if config is not None or overrides:
        settings = load_config(None if config is None else expanded("--config", config), overrides)
        with refusing_bad_input():
            images, held_out = load_images(settings)
        if held_out is None:
            raise RunError("The config names no test images. Received: --config without them")
        embed = tf.saved_model.load(str(folder)).signatures["embed"]
        names = images.class_names or held_out.class_names
        test = _embedded(embed, held_out, settings.evaluation.batch_size, class_names, names)
    return Subject(name, "export", folder, train, test, class_names)


def _embedded(
    embed: Callable,
    images: ImageSet,
    batch_size: int,
    class_names: list[str],
    names: Sequence[str] | None,
) -> Part:
    """Test images as the export embeds them; their labels are numbered as those of the rows."""
    embeddings = [
        embed(images=tf.constant(batch))["embedding"].numpy()
        for batch in images.ordered_batches(batch_size).as_numpy_iterator()
    ]
    labels = images.labels
    if labels is not None and class_names:
        called = names or [str(label) for label in range(int(labels.max()) + 1)]
        number = {name: label for label, name in enumerate(class_names)}
        # A class without rows cannot be classified correctly, and counts as wrong.
        numbers = [
            number.get(str(name), len(class_names) + index) for index, name in enumerate(called)
        ]
        labels = np.where(labels >= 0, np.array(numbers)[labels], -1)
    sources = images.sources or [f"{images.name}:{index}" for index in range(len(images))]
    return Part(
        images.name,
        unit_rows(np.concatenate(embeddings), images.name),
        None if labels is None else known_or_none(labels),
        list(sources),
        image_set=images,
        rows=np.arange(len(images)),
    )
