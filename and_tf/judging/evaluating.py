"""From what is judged to an evaluation, part by part."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

import keras
import numpy as np

from and_tf.data.image_set import ImageSet
from and_tf.data.in_memory import from_arrays
from and_tf.discovery.search_progress import SearchProgress
from and_tf.errors import RunError
from and_tf.judging import parts
from and_tf.judging.context import Context
from and_tf.judging.evaluation import TITLES, Evaluation
from and_tf.judging.findings import Findings, NothingToMeasure
from and_tf.judging.fine_tuning import fine_tuning
from and_tf.judging.from_run import embed_both, names_of_classes
from and_tf.judging.probing import linear
from and_tf.judging.subject import Subject

PARTS: dict[str, Callable[[Context], Findings]] = {
    "without_labels": parts.without_labels,
    "knn": parts.knn,
    "clusters": parts.clusters,
    "neighbourhoods": parts.neighbourhoods,
    "few_labels": parts.few_labels,
    "linear": linear,
    "fine_tuning": fine_tuning,
}
"""In the order in which they are measured, the quick ones first."""

ASKED_FOR = {"fine_tuning"}
"""Those that are left out unless they are named: they take long."""


def evaluate_subject(
    subject: Subject,
    only: Collection[str] = (),
    path: Path | None = None,
    anew: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Evaluation:
    """Measure the parts that are asked for.

    Args:
        subject: What is judged.
        only: Names of `PARTS`; all but those of `ASKED_FOR` where there are none.
        path: Where the evaluation is written after each part. Parts that are there already, of the
            same embeddings, are kept.
        anew: Measure what is there already once more.
        say: Told what is done, a line at a time.

    Raises:
        RunError: A part that does not exist.
        OSError: `path` cannot be written to.
    """
    wanted = check_parts(only)
    evaluation = Evaluation.of(subject)
    if path is not None and path.exists():
        evaluation.parts = _kept(path, evaluation)
    context = Context(subject)
    for number, name in enumerate(wanted, start=1):
        place = f"{number}/{len(wanted)} {TITLES[name]}"
        if name in evaluation.parts and not anew:
            say(f"{place}: measured before")
            continue
        started = time.monotonic()
        with SearchProgress(place) as progress:
            context.progress = progress
            try:
                found = PARTS[name](context)
            except NothingToMeasure as reason:
                found = Findings(skipped=str(reason))
        found.seconds = round(time.monotonic() - started, 3)
        evaluation.parts[name] = found
        if path is not None:
            evaluation.save(path)
        left_out = f", left out: {found.skipped}" if found.skipped else ""
        say(f"{place}: {found.seconds:.1f} s{left_out}")
    return evaluation


def check_parts(only: Collection[str]) -> list[str]:
    """The parts that are asked for, in their order.

    Raises:
        RunError: One does not exist.
    """
    unknown = [name for name in only if name not in PARTS]
    if unknown:
        raise RunError(f"Parts are {', '.join(PARTS)}. Received: {', '.join(unknown)}")
    return [name for name in PARTS if name in (only or PARTS.keys() - ASKED_FOR)]


def _kept(path: Path, evaluation: Evaluation) -> dict[str, Findings]:
    """What was measured before of the same embeddings; nothing where the file is of others."""
    try:
        before = Evaluation.load(path)
    except ValueError:
        return {}
    same = before.subject.get("fingerprint") == evaluation.subject["fingerprint"]
    return before.parts if same else {}


def evaluate(
    model: keras.Model,
    train: ImageSet | tuple[np.ndarray, np.ndarray],
    test: ImageSet | tuple[np.ndarray, np.ndarray] | None = None,
    only: Collection[str] = (),
    batch_size: int = 256,
) -> Evaluation:
    """Judge a model that is in memory, in a notebook: the result displays itself as a table.

    Args:
        model: `and_tf.AND`, or an encoder from images [B, H, W, 3] to embeddings [B, d].
        train: The training images, in the order of their ids: an image set, or arrays (images, labels).
        test: Images held out, in the same way; without them the training images judge each other.
        only: Which of `PARTS`; all where there are none.
        batch_size: Images embedded at a time.

    Raises:
        RunError: Images of another size than the model takes, or embeddings that are not finite.
        ValueError: Arrays that are no images.
    """
    images, held_out = (
        given if given is None or isinstance(given, ImageSet) else from_arrays(*given)
        for given in (train, test)
    )
    assert images is not None
    encoder = getattr(model, "encoder", model)
    first, second = embed_both(encoder, images, held_out, batch_size)
    bank = None
    if getattr(model, "num_examples", None) == len(images):
        bank = model.bank.numpy()[first.rows]
    subject = Subject(
        model.name,
        "model",
        None,
        first,
        second,
        names_of_classes(images, first, second),
        bank=bank,
        encoder=encoder,
        augment=getattr(model, "augment", None),
        temperature=getattr(model, "temperature", Subject.temperature),
    )
    return evaluate_subject(subject, only, say=print)
