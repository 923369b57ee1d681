"""What `AND.fit` and `evaluate` are given beside arrays: image sets, endless data, other callbacks."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from and_tf.data.augment import Augment
from and_tf.data.image_set import ImageSet
from and_tf.data.whole_crop import WholeCrop
from and_tf.distribution import multi_worker
from and_tf.method import model_checks
from and_tf.method.callbacks import KNNEvaluation, NeighbourhoodDiscovery
from and_tf.method.ids_watch import IdsWatch
from and_tf.method.numbering import check_numbering
from and_tf.method.prediction_check import PredictionCheck, first_batch
from and_tf.method.sharded_bank import ShardedBank

_HELD_OUT = (
    "validation_data needs images of the memory bank, with their ids, since the loss is measured "
    "against it. For held-out images give fit the callback and_tf.KNNEvaluation(train, test) instead. "
)
_READERS = (
    keras.callbacks.CSVLogger,
    keras.callbacks.EarlyStopping,
    keras.callbacks.LambdaCallback,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.TensorBoard,
)


def fit_arguments(
    model: keras.Model,
    x: Any,
    y: Any,
    batch_size: int | None,
    callbacks: Any,
    options: dict,
    crop: WholeCrop | None = None,
) -> dict[str, Any]:
    """What `keras.Model.fit` is to be given for what `AND.fit` was given, and the crop of its images.

    Raises:
        ValueError: See `AND.fit`.
    """
    validation_data, steps = options.get("validation_data"), options.get("steps_per_epoch")
    if options.get("validation_split"):
        raise ValueError(
            "validation_split would leave images of the bank untrained: evaluate held-out images "
            "by the callback and_tf.KNNEvaluation(train, test). Received: validation_split="
            f"{options['validation_split']}"
        )
    x, y = as_array(x), as_ids(y)
    check_images(model, x)
    check_batch_size(batch_size)
    sample, x = first_batch(x, y)
    arguments, validates_itself = dict(options), validation_data is x
    if is_set := isinstance(x, ImageSet):
        check_length(x, model.num_examples)
        if y is not None:
            raise ValueError("An image set brings its ids: leave the targets out.")
        size, batch_size = batch_size or 32, None
        if validates_itself:
            validation_data = labelled_with_ids(x, size)
        steps = steps or x.steps_per_epoch(size)
        arguments["shuffle"] = False  # it has its order
        epoch = model.examples_seen // model.num_examples
        x = x.training_batches(size, model.seed, epoch, crop=crop)
    check_has_end(x, steps, "steps_per_epoch")
    if is_empty(x):
        raise ValueError("There are no images to train on. Received: no batch of them")

    has_workers = multi_worker.has_workers(model)
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = in_order(list(tree.flatten(callbacks or [])))
        check_callbacks(model, callbacks, validation_data is not None, (x, y))
        callbacks.append(PredictionCheck(sample))
        if y is None and not is_set:
            callbacks.append(IdsWatch())
    if has_workers:
        if validation_data is not None:
            raise ValueError("validation_data is not evaluated on several machines: leave it out.")
        x, steps = multi_worker.training_data(model, x, y, steps)
        y = batch_size = None
    else:
        model_checks.check_targets(x, y, model.num_examples)
        if y is None and not is_set:
            check_numbering(x)
        if validation_data is not None:
            check_validation(x, y, validation_data, model.num_examples)
    return arguments | {
        "x": x,
        "y": y,
        "batch_size": batch_size,
        "steps_per_epoch": steps,
        "validation_data": validation_data,
        "callbacks": callbacks,
    }


def evaluate_arguments(
    model: keras.Model, x: Any, y: Any, batch_size: int | None, options: dict
) -> dict[str, Any]:
    """What `keras.Model.evaluate` is to be given for what `AND.evaluate` was given."""
    x, y = as_array(x), as_ids(y)
    check_images(model, x)
    check_batch_size(batch_size)
    if isinstance(x, ImageSet):
        check_length(x, model.num_examples)
        x, batch_size = labelled_with_ids(x, batch_size or 32), None
    steps = options.get("steps")
    check_has_end(x, steps, "steps")
    if multi_worker.has_workers(model):
        x, steps = multi_worker.training_data(model, x, y, steps)
        y = batch_size = None
    return options | {"x": x, "y": y, "batch_size": batch_size, "steps": steps}


def whole_crop(model: keras.Model, x: Any) -> WholeCrop | None:
    """How `fit` cuts the photographs of an image set; None where the model cuts what it is given."""
    if not isinstance(x, ImageSet) or not isinstance(model.augment, Augment):
        return None
    return x.whole_crop(model.augment.crop_scale, model.augment.crop_ratio, model.views)


def as_array(images: Any) -> Any:
    """Images, with an array for a list of them, which Keras would take for several inputs.

    Raises:
        ValueError: Images that make no array.
    """
    if not isinstance(images, list | tuple):
        return images
    shapes = {np.shape(image) for image in images if hasattr(image, "__array__")}
    if len(shapes) != 1:
        raise ValueError(
            "Give images and ids apart, as fit(images, ids), and images as one array [N, H, W, 3] or as "
            f"a list of arrays of one shape. Received: a {type(images).__name__} of {len(images)}"
            + (f", of shapes {str(sorted(shapes)[:3])[1:-1]}" if shapes else "")
        )
    return np.asarray(images)


def as_ids(ids: Any) -> Any:
    """Ids, with an array for a list or a range of them."""
    return np.asarray(ids) if isinstance(ids, list | tuple | range) else ids


def check_images(model: keras.Model, x: Any) -> None:
    """Raise ValueError for images of another size than the encoder's, as far as it is known."""
    spec = x
    if isinstance(x, ImageSet):
        spec = tf.TensorSpec([None, *x.image_shape])
    elif isinstance(x, tf.data.Dataset):
        spec = x.element_spec[0] if isinstance(x.element_spec, tuple) else x.element_spec
    if isinstance(spec, np.ndarray | tf.Tensor | tf.TensorSpec):
        model_checks.check_image_shape(tf.TensorShape(spec.shape), model.encoder)


def check_batch_size(batch_size: Any) -> None:
    """Raise ValueError for a size that is given and no whole number from 1 on."""
    if batch_size is not None and (not isinstance(batch_size, Integral) or batch_size < 1):
        raise ValueError(f"batch_size must be a whole number from 1 on. Received: {batch_size!r}")


def is_empty(x: Any) -> bool:
    """Whether there are no images, as far as it is known."""
    if isinstance(x, tf.data.Dataset):
        return int(x.cardinality()) == 0
    return isinstance(x, np.ndarray | tf.Tensor) and len(x.shape) > 0 and x.shape[0] == 0


def check_length(images: ImageSet, num_examples: int) -> None:
    """Raise ValueError unless an image set has a row of the bank for each image."""
    if len(images) != num_examples:
        raise ValueError(
            f"The model was made for {num_examples} images: give it the set that it trains on. "
            f"Received: {images.name} of {len(images)} images"
        )


def labelled_with_ids(images: ImageSet, batch_size: int) -> tf.data.Dataset:
    """Every image once with its id, in order."""
    ids = tf.data.Dataset.range(len(images)).batch(batch_size)
    return tf.data.Dataset.zip((images.ordered_batches(batch_size), ids))


def check_has_end(x: Any, steps: int | None, name: str) -> None:
    """Raise ValueError for a data set without end of which no number of steps is asked."""
    if (
        steps is None
        and isinstance(x, tf.data.Dataset)
        and x.cardinality() == tf.data.INFINITE_CARDINALITY
    ):
        raise ValueError(
            f"The data set has no end: give {name}, for an epoch ceil(images / batch size), or give "
            "the and_tf.data.ImageSet itself, whose steps are known. Received: "
            f"{name}=None"
        )


def check_validation(x: Any, y: Any, validation_data: Any, num_examples: int) -> None:
    """Make sure that the targets of validation arrays are ids, and the images those of the bank.

    Data sets are checked batch by batch, their targets alone.

    Raises:
        ValueError: They are not, with what to do instead.
    """
    if isinstance(validation_data, ImageSet):
        raise ValueError(f"{_HELD_OUT}Received: {validation_data!r}")  # noqa: TRY004
    if not isinstance(validation_data, Sequence) or len(validation_data) < 2:
        return
    images, ids = validation_data[:2]
    try:
        model_checks.check_targets(images, ids, num_examples)
    except ValueError as error:
        raise ValueError(f"{_HELD_OUT}{error}") from None
    if not all(isinstance(array, np.ndarray) for array in (x, images)):
        return
    rows = {int(id): row for row, id in enumerate(np.asarray(y).ravel())}
    for image, id in zip(images[:100], np.asarray(ids).ravel()[:100].tolist(), strict=False):
        if id in rows and not np.array_equal(image, x[rows[id]]):
            raise ValueError(f"{_HELD_OUT}Received: another image than that of id {id} in training")


def check_callbacks(
    model: keras.Model, callbacks: Any, is_validated: bool, arrays: tuple[Any, Any]
) -> None:
    """Make sure that Keras's own callbacks, and `KNNEvaluation`, can do what they are there for.

    `arrays` are the images and ids that are trained on, or others. `KNNEvaluation`'s accuracies are monitored with mode "max".

    Raises:
        ValueError: They cannot, with the reason.
    """
    discovery = next((c for c in callbacks if isinstance(c, NeighbourhoodDiscovery)), None)
    evaluation = next((c for c in callbacks if isinstance(c, KNNEvaluation)), None)
    for callback in callbacks:
        kind = type(callback).__name__
        sets_rate = keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler
        if discovery and isinstance(callback, sets_rate):
            raise ValueError(
                "NeighbourhoodDiscovery sets the learning rate of every epoch itself: give it "
                f"learning_rate_drops instead. Received: {kind}"
            )
        if isinstance(callback, KNNEvaluation):
            callback.check_images(model, *arrays)
        monitor = getattr(callback, "monitor", None)
        needs_it = getattr(callback, "save_best_only", True)
        if not isinstance(monitor, str) or not needs_it:
            continue
        if monitor.startswith("val_") and not is_validated:
            raise ValueError(
                f"{kind} would wait for {monitor!r}, which only validation_data gives: use "
                'monitor="knn_features" with an and_tf.KNNEvaluation, or monitor="loss". '
                f"Received: monitor={monitor!r}"
            )
        if monitor.removeprefix("val_") in ("acc", "accuracy"):
            raise ValueError(
                'AND has no accuracy of its own: use monitor="knn_features" with an '
                f"and_tf.KNNEvaluation. Received: {kind} with monitor={monitor!r}"
            )
        if monitor.startswith("knn_"):
            _check_evaluated(callback, evaluation)
        stops = isinstance(callback, keras.callbacks.EarlyStopping)
        if stops and monitor == "loss" and discovery and discovery.curriculum.rounds:
            raise ValueError(
                "The loss rises where a round begins, since its positives and learning rate are new: "
                'EarlyStopping needs monitor="knn_features" with an and_tf.KNNEvaluation here. '
                "Received: monitor='loss'"
            )
        if stops and callback.restore_best_weights and isinstance(model.bank, ShardedBank):
            raise ValueError(
                "A sharded bank is not among the weights that EarlyStopping restores: use "
                'bank="mirrored", or a ModelCheckpoint. Received: restore_best_weights=True'
            )


def _check_evaluated(callback: keras.callbacks.Callback, evaluation: KNNEvaluation | None) -> None:
    kind, monitor = type(callback).__name__, callback.monitor
    if evaluation is None:
        raise ValueError(
            f"{kind} would wait for {monitor!r}: give fit an and_tf.KNNEvaluation, too. "
            f"Received: monitor={monitor!r}"
        )
    if monitor not in KNNEvaluation.FIGURES:
        raise ValueError(
            f"KNNEvaluation logs {' and '.join(KNNEvaluation.FIGURES)}. Received: {kind} with "
            f"monitor={monitor!r}"
        )
    patience = getattr(callback, "patience", None)
    if patience is not None and patience < evaluation.every_epochs:
        raise ValueError(
            f"{kind} counts epochs, and KNNEvaluation evaluates every {evaluation.every_epochs}: the "
            f"patience must be at least that. Received: patience={patience}"
        )
    if callback.mode == "auto":  # for which Keras knows the metrics of `compile` alone
        callback.mode = "max"


def in_order(callbacks: list[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
    """The callbacks, those that add to the logs before Keras's own that read them."""

    def adds(callback: keras.callbacks.Callback) -> bool:
        return isinstance(callback, NeighbourhoodDiscovery | KNNEvaluation)

    first_reader = next((i for i, c in enumerate(callbacks) if isinstance(c, _READERS)), None)
    if first_reader is None or not any(map(adds, callbacks[first_reader:])):
        return callbacks
    return sorted(callbacks, key=lambda callback: not adds(callback))
