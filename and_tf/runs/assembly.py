"""From a config to the objects it describes."""

from __future__ import annotations

import warnings

import keras

from and_tf.data.augment import Augment
from and_tf.data.image_set import ImageSet
from and_tf.data.whole_crop import WholeCrop
from and_tf.encoders import ENCODERS
from and_tf.method.callbacks import KNNEvaluation, NeighbourhoodDiscovery, why_no_evaluation
from and_tf.method.curriculum import Curriculum
from and_tf.method.model import AND
from and_tf.method.monitors import BankMonitors
from and_tf.method.optimizer import SGD
from and_tf.runs.config import RunConfig
from and_tf.runs.watchdog import Watchdog


def build_model(config: RunConfig, images: ImageSet) -> AND:
    """A new model for the images, compiled.

    Raises:
        ValueError: The encoder cannot take images of this size, or there are too few images.
    """
    options = config.augment.model_dump()
    if whole_crop(config, images) is not None:
        options["crop_scale"] = None  # cut when they are decoded
    model = AND(
        build_encoder(config, images.image_shape),
        images.num_examples,
        temperature=config.objective.temperature,
        bank_momentum=config.objective.bank_momentum,
        bank=config.objective.bank,
        views=config.objective.views,
        neighbours=config.curriculum.neighbours,
        augment=Augment(**options),
        seed=config.seed,
    )
    of_schedule = {"schedule", "warmup_epochs", "drops", "drop_factor"}
    optimizer_options = config.optimizer.model_dump(exclude=of_schedule)
    # XLA would drop the assertions on indices.
    model.compile(SGD(**optimizer_options), jit_compile=False)
    return model


def whole_crop(config: RunConfig, images: ImageSet) -> WholeCrop | None:
    """How training images are cut from whole photographs; None where the model cuts what it is given."""
    augment, views = config.augment, config.objective.views
    return images.whole_crop(augment.crop_scale, augment.crop_ratio, views)


def build_encoder(config: RunConfig, image_shape: tuple[int, int, int]) -> keras.Model:
    """A new encoder for images of one shape, (height, width, 3), in the precision that is set.

    Raises:
        ValueError: It cannot take images of this size.
    """
    options = config.encoder.model_dump(exclude={"name", "stem"})
    if config.encoder.name != "conv4":  # has one stem only
        options["stem"] = config.encoder.stem
    return ENCODERS[config.encoder.name](
        input_shape=image_shape, mean=config.data.mean, std=config.data.std, **options
    )


def curriculum_of(config: RunConfig) -> Curriculum:
    """The rounds of a config."""
    rounds = config.curriculum
    return Curriculum(rounds.rounds, rounds.epochs_per_round, rounds.initial_epochs)


def build_discovery(config: RunConfig, images: ImageSet) -> NeighbourhoodDiscovery:
    """The callback that begins the rounds of the config's curriculum."""
    return NeighbourhoodDiscovery(
        config.curriculum.rounds,
        config.curriculum.epochs_per_round,
        config.curriculum.initial_epochs,
        learning_rate=config.optimizer.learning_rate,
        learning_rate_drops=config.optimizer.drops,
        learning_rate_drop_factor=config.optimizer.drop_factor,
        labels=images.labels,
        searcher=config.curriculum.searcher,
        schedule=config.optimizer.schedule,
        warmup_epochs=config.optimizer.warmup_epochs,
    )


def build_watchdog(config: RunConfig) -> Watchdog:
    """The callback that watches the run's numbers."""
    return Watchdog(**config.watchdog.model_dump())


def build_monitors(config: RunConfig, discovery: NeighbourhoodDiscovery) -> BankMonitors:
    """The callback that measures the bank without labels, whenever the run is evaluated."""
    return BankMonitors(config.evaluation.every_epochs, discovery.curriculum)


def build_evaluation(
    config: RunConfig, images: ImageSet, test: ImageSet | None, discovery: NeighbourhoodDiscovery
) -> KNNEvaluation | None:
    """The callback that evaluates, None where there is nothing to measure."""
    if why_no_evaluation(images, test) is not None:
        return None
    with warnings.catch_warnings():
        # `describe_classes` says it by the name of the config's key.
        warnings.simplefilter("ignore")
        return KNNEvaluation(
            images,
            test,
            config.evaluation.knn_neighbours,
            config.evaluation.knn_temperature,
            config.evaluation.every_epochs,
            discovery.curriculum,
            config.evaluation.batch_size,
        )
