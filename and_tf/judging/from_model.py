"""A `.keras` file as what is judged, on images that a config names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras

from and_tf.errors import CheckpointError, RunError
from and_tf.judging.from_run import embed_both, load_images, names_of_classes
from and_tf.judging.subject import Subject
from and_tf.runs.checkpoints import read_model
from and_tf.runs.commands import refusing_bad_input
from and_tf.runs.config import RunConfig, load_config
from and_tf.runs.paths import expanded, shown
from and_tf.runs.run_directory import RunDirectory


def load_model_file(path: Path, config: str | Path | None, overrides: Sequence[str]) -> Subject:
    """A model, `AND` or an encoder alone, on the images of a config.

    Its memory bank is left out: whether its rows belong to these images cannot be known.

    Args:
        path: The `.keras` file.
        config: A JSON file; None takes that of the run directory that the file lies in.
        overrides: `KEY=VALUE`.

    Raises:
        RunError: No model, no config, or images that cannot be had.
    """
    settings = config_beside(path, config, overrides)
    model = read_keras_file(path)
    encoder = getattr(model, "encoder", model)
    with refusing_bad_input():
        images, held_out = load_images(settings)
    train, test = embed_both(encoder, images, held_out, settings.evaluation.batch_size)
    names = names_of_classes(images, train, test)
    return Subject(path.stem, "model", path, train, test, names, encoder=encoder, config=settings)


def config_beside(path: Path, config: str | Path | None, overrides: Sequence[str]) -> RunConfig:
    """The config that says where images are.

    Raises:
        RunError: None was given, and there is no run around `path`.
    """
    runs = [RunDirectory(folder) for folder in path.absolute().parents[:2]]
    source = next((run.config for run in runs if run.holds_run), None)
    if config is not None:
        source = expanded("--config", config)
    if source is None and not overrides:
        raise RunError(
            f"A model needs images to be judged on: name them by --config FILE or --set data.source=... "
            f"Received: {shown(path)}"
        )
    return load_config(source, overrides)


def read_keras_file(path: Path) -> keras.Model:
    """The model in a `.keras` file: `AND`, or an encoder alone.

    Raises:
        RunError: The file cannot be read, or holds no model from images to embeddings.
    """
    try:
        model = read_model(path, compile=False)
    except CheckpointError as error:
        raise RunError(f"The model cannot be read: {error}. Received: {shown(path)}") from error
    encoder = getattr(model, "encoder", model)
    shapes = [getattr(encoder, f"{side}_shape", None) for side in ("input", "output")]
    if [len(shape) if isinstance(shape, tuple) else 0 for shape in shapes] != [4, 2]:
        raise RunError(
            "A model to be judged goes from images [B, H, W, 3] to embeddings [B, d]. "
            f"Received: {shown(path)}, from {shapes[0]} to {shapes[1]}"
        )
    return model
