"""A run directory as what is judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras

from and_tf import data
from and_tf.data.image_set import ImageSet
from and_tf.exporting.trained_encoder import in_float32, load_model
from and_tf.judging.embedding import embed
from and_tf.judging.subject import Part, Subject
from and_tf.runs.assembly import build_model, curriculum_of
from and_tf.runs.checkpoints import Position
from and_tf.runs.commands import refusing_bad_input
from and_tf.runs.config import RunConfig, load_config
from and_tf.runs.precision import set_precision
from and_tf.runs.resuming import check_same_config, check_same_images
from and_tf.runs.run_directory import RunDirectory


def load_run(path: Path, overrides: Sequence[str] = (), untrained: bool = False) -> Subject:
    """A run's model on the run's images; of a run that is not over, its last checkpoint.

    Args:
        path: The run directory.
        overrides: Such as where its images lie now.
        untrained: The encoder as it was before the first step, from the run's seed, and without bank.

    Raises:
        RunError: No model or checkpoint, or images that are not there or not those of the run.
        ConfigError: An override that would make it another run.
    """
    run = RunDirectory(path)
    config = load_config(run.config, overrides)
    check_same_config(load_config(run.config), config)
    model = None if untrained else load_model(run, config, "judging")
    with refusing_bad_input():
        images, held_out = load_images(config)
        begun_with = run.read_environment().get("data")
        if begun_with:
            check_same_images(begun_with, images)
    if model is None:
        set_precision("float32")
        keras.utils.set_random_seed(config.seed)
        model = build_model(config, images)
        encoder = model.encoder
    else:
        encoder = in_float32(model, run, config)
    train, test = embed_both(encoder, images, held_out, config.evaluation.batch_size)
    return Subject(
        f"{config.name} untrained" if untrained else config.name,
        "run",
        path,
        train,
        test,
        names_of_classes(images, train, test),
        bank=None if untrained else model.bank.numpy()[train.rows],
        encoder=encoder,
        augment=model.augment,
        temperature=model.temperature,
        config=config,
        run=None if untrained else run,
        epochs=model.examples_seen // model.num_examples,
        rounds={} if untrained else kept_rounds(run, config),
    )


def load_images(config: RunConfig) -> tuple[ImageSet, ImageSet | None]:
    """The images of a config.

    Raises:
        ValueError: They cannot be had; with how to say where they lie.
    """
    try:
        return data.load(**config.data.model_dump(exclude={"mean", "std"}))
    except ValueError as error:
        raise ValueError(
            f"{str(error).rstrip('.')}. If the images have moved, --set data.path=FOLDER (or "
            "data.data_dir) says where to."
        ) from error


def embed_both(
    encoder: keras.Model, images: ImageSet, held_out: ImageSet | None, batch_size: int
) -> tuple[Part, Part | None]:
    """Both parts of a subject."""
    train = embed(encoder, images, batch_size)
    return train, None if held_out is None else embed(encoder, held_out, batch_size)


def names_of_classes(images: ImageSet, train: Part, test: Part | None) -> list[str]:
    """The name of each label that may occur."""
    if images.class_names is not None:
        return [str(name) for name in images.class_names]
    labels = [part.labels for part in (train, test) if part is not None and part.labels is not None]
    count = max((int(each.max()) + 1 for each in labels), default=0)
    return [str(label) for label in range(count)]


def kept_rounds(run: RunDirectory, config: RunConfig) -> dict[int, Path]:
    """Each round to the checkpoint at its end, of those that are there."""
    ends = curriculum_of(config).ends_of_rounds()
    paths = [Position(epoch, 0).checkpoint_in(run.checkpoints) for epoch in ends]
    return {number: path for number, path in enumerate(paths) if path.exists()}
