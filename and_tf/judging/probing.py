"""Linear classifiers on an encoder's stages, as the paper's Tables 1 and 2 have them, and on the embedding."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from and_tf.data.image_set import ImageSet
from and_tf.data.in_memory import MAX_BYTES
from and_tf.evaluation.linear_probes import MOMENTUM, LinearProbes
from and_tf.evaluation.logistic import FOLDS, STRENGTHS, logistic_accuracy
from and_tf.evaluation.pooling import MOST_VALUES, pooled
from and_tf.judging.context import SEED, Context
from and_tf.judging.findings import Figure, Findings
from and_tf.judging.subject import Part

BATCH = 256
EPOCHS = 20
FEWEST_STEPS = 500  # small sets are passed over more often
SCALED_BY = 2_048  # images that mean and deviation are taken from
UNTOLD = 20  # first steps, which are compiled, and would give a wrong time left
HELD_OUT = 10  # one in so many training images chooses the rate
STAGE = re.compile(r"conv\d+")


def linear(context: Context) -> Findings:
    """Classifiers on all stages, trained in the same passes, and logistic regression on the embedding."""
    subject = context.subject
    fit, test = context.split()
    found = Findings(
        settings={"embedding": {"C": list(STRENGTHS), "folds": FOLDS}, "queries": len(test)}
    )
    if subject.encoder is None or subject.train.image_set is None:
        found.notes.append(
            "Stages need the encoder and its images: the embedding alone was judged."
        )
    else:
        _judge_stages(context, stage_model(subject.encoder), found, fit, test)
    _judge_embedding(context, found, fit, test)
    return found


def _judge_stages(
    context: Context, stages: keras.Model, found: Findings, fit: np.ndarray, test: np.ndarray
) -> None:
    """The accuracy on each stage, at the learning rate that is the best on training images held out."""
    subject, (labels, _) = context.subject, context.labels()
    chooses = np.random.default_rng(SEED).permutation(fit)[: max(1, len(fit) // HELD_OUT)]
    roles = np.full(len(subject.train), -1, np.int64)
    roles[fit] = labels[fit]
    roles[chooses] = -1
    probes, epochs, features_of = train_probes(context, stages, roles, int(labels.max()) + 1)
    chosen = _accuracies(probes, features_of, subject.train, chooses)
    of_test = features_of if subject.test is None else Features(stages, None)
    tested = _accuracies(probes, of_test, subject.judged, test)
    found.settings["stages"] = {
        "learning_rates": list(probes.rates),
        "momentum": MOMENTUM,
        "epochs": epochs,
        "batch_size": BATCH,
        "most_values": MOST_VALUES,
        "standardised_by": SCALED_BY,
        "images_that_choose_the_rate": len(chooses),
    }
    for name, rates in chosen.items():
        best = int(np.argmax(rates))
        found.figures[f"linear on {name}"] = Figure(float(tested[name][best]))
        found.details[name] = {
            "learning_rate": probes.rates[best],
            "held_out": rates.tolist(),
            "test": tested[name].tolist(),
        }


def _judge_embedding(context: Context, found: Findings, fit: np.ndarray, test: np.ndarray) -> None:
    """scikit-learn's logistic regression on the embedding, with its C chosen on training labels."""
    train, judged = context.subject.train, context.subject.judged
    assert train.labels is not None and judged.labels is not None
    accuracy, strength = logistic_accuracy(
        train.embeddings[fit],
        train.labels[fit],
        judged.embeddings[test],
        judged.labels[test],
        seed=SEED,
    )
    found.figures["logistic regression on the embedding"] = Figure(accuracy)
    found.details["logistic"] = {"C": strength}


def stage_model(encoder: keras.Model) -> keras.Model:
    """From images to a dict of what each stage gives: `conv1` and so on, and `embedding`."""
    outputs = {layer.name: layer.output for layer in encoder.layers if STAGE.fullmatch(layer.name)}
    stages = keras.Model(encoder.input, outputs | {"embedding": encoder.output})
    stages.autocast = encoder.autocast
    return stages


class Features:
    """Pooled features of all stages, kept once they were computed where memory allows.

    Args:
        stages: See `stage_model`.
        count: How many images there are to keep the features of; None keeps none.
    """

    def __init__(self, stages: keras.Model, count: int | None) -> None:
        self._compute = tf.function(
            lambda images: {name: pooled(x) for name, x in stages(images, training=False).items()},
            reduce_retracing=True,
        )
        self._kept: dict[str, np.ndarray] = {}
        self._has = np.zeros(count or 0, bool)
        self._count = count

    def __call__(self, images: tf.Tensor, indices: np.ndarray) -> dict[str, tf.Tensor]:
        """Name to float [B, D]."""
        if self._kept and self._has[indices].all():
            return {name: tf.constant(values[indices]) for name, values in self._kept.items()}
        found = self._compute(tf.cast(images, tf.float32))
        if self._count is not None and not self._kept:
            self._make_room({name: x.shape[1] for name, x in found.items()})
        if self._kept:
            for name, values in self._kept.items():
                values[indices] = found[name]
            self._has[indices] = True
        return found

    def _make_room(self, sizes: dict[str, int]) -> None:
        assert self._count is not None
        if 4 * self._count * sum(sizes.values()) > MAX_BYTES:
            self._count = None
            return
        shapes = {name: (self._count, size) for name, size in sizes.items()}
        self._kept = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}


def train_probes(
    context: Context, stages: keras.Model, roles: np.ndarray, classes: int
) -> tuple[LinearProbes, int, Features]:
    """All probes, trained by the same batches of frozen features.

    Args:
        context: Whose training images.
        stages: See `stage_model`.
        roles: int [n], the label of each row that is learnt from, -1 for all others.
        classes: C.

    Returns:
        The probes, how many epochs they were trained for, and the features that they saw.
    """
    part = context.subject.train
    images, rows = part.image_set, part.rows
    assert images is not None and rows is not None
    labels = np.full(len(images), -1, np.int64)
    labels[rows] = roles
    features_of = Features(stages, len(images))
    samples: list[dict[str, np.ndarray]] = []
    for first, pixels in _in_order(images):
        found = features_of(pixels, np.arange(first, first + len(pixels)))
        samples.append({name: x.numpy() for name, x in found.items()})
        if first + len(pixels) >= SCALED_BY:
            break
    scaled_by = {name: np.concatenate([sample[name] for sample in samples]) for name in samples[0]}
    steps = images.steps_per_epoch(BATCH)
    epochs = max(EPOCHS, -(-FEWEST_STEPS // steps))
    probes = LinearProbes(scaled_by, classes, epochs * steps)
    batches = images.training_batches(BATCH, SEED).take(epochs * steps)
    for done, (pixels, indices) in enumerate(batches):
        ids = indices.numpy()
        probes.update(features_of(pixels, ids), tf.constant(labels[ids]))
        if done >= UNTOLD:
            context.progress((done + 1) / (epochs * steps))
    return probes, epochs, features_of


def _in_order(images: ImageSet) -> Iterator[tuple[int, tf.Tensor]]:
    first = 0
    for pixels in images.ordered_batches(BATCH):
        yield first, pixels
        first += len(pixels)


def _accuracies(
    probes: LinearProbes,
    features_of: Callable[[tf.Tensor, np.ndarray], dict[str, tf.Tensor]],
    part: Part,
    chosen: np.ndarray,
) -> dict[str, np.ndarray]:
    """The accuracy on some rows of a part, name to float [rates]."""
    assert part.image_set is not None and part.rows is not None and part.labels is not None
    labels = np.full(len(part.image_set), -1, np.int64)
    labels[part.rows[chosen]] = part.labels[chosen]
    sums: dict[str, np.ndarray] = {}
    for first, pixels in _in_order(part.image_set):
        ids = np.arange(first, first + len(pixels))
        wanted = labels[ids]
        if (wanted < 0).all():
            continue
        hits = probes.hits(features_of(pixels, ids), tf.constant(wanted))
        for name, hit in hits.items():
            sums[name] = sums.get(name, 0) + hit.numpy()[wanted >= 0].sum(axis=0)
    return {name: total / len(chosen) for name, total in sums.items()}
