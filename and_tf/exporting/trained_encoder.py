"""The encoder of a run, as it is exported: in float32, whatever precision it was trained in."""

from __future__ import annotations

import hashlib
import json

import keras

from and_tf.errors import CheckpointError, RunError
from and_tf.method.model import AND
from and_tf.runs.assembly import build_encoder
from and_tf.runs.checkpoints import Checkpoints, read_model
from and_tf.runs.config import RunConfig
from and_tf.runs.precision import set_precision
from and_tf.runs.run_directory import RunDirectory


def load_encoder(run: RunDirectory, config: RunConfig) -> keras.Model:
    """The encoder of a run's model, or of its last checkpoint where the run is not over.

    Mixed precision keeps its weights in float32; the layers are built anew to compute in it, too.

    Raises:
        RunError: There is neither a model nor a checkpoint that can be read.
    """
    return in_float32(load_model(run, config, "exporting"), run, config)


def in_float32(model: AND, run: RunDirectory, config: RunConfig) -> keras.Model:
    """The encoder of a run's model, which computes in float32.

    Raises:
        RunError: The config describes another one.
    """
    set_precision("float32")
    encoder = build_encoder(config, model.encoder.input_shape[1:])
    try:
        encoder.set_weights(model.encoder.get_weights())
    except ValueError as error:
        raise RunError(
            f"The model in {run.path} is not the one that its config describes: {error}"
        ) from error
    return encoder


def load_model(run: RunDirectory, config: RunConfig, doing: str) -> AND:
    """A run's model, or its last checkpoint where the run is not over, which is said.

    Args:
        run: Where it lies.
        config: Of the run.
        doing: What is done with it, for the message: "exporting".

    Raises:
        RunError: There is neither a model nor a checkpoint that can be read.
    """
    if not run.model.exists():
        model = Checkpoints(run.checkpoints, config.train.batch_size).load_latest()
        if model is None:
            raise RunError(
                f"{run.path} has neither a model nor a checkpoint yet. Train first: "
                f"python -m and_tf.train --run-dir {run.path} --resume"
            )
        print(
            f"the run is not over: {doing} its last checkpoint, after "
            f"{model.examples_seen // model.num_examples} epochs"
        )
        return model
    try:
        return read_model(run.model, compile=False)
    except CheckpointError as error:
        raise RunError(
            f"The model cannot be read; python -m and_tf.train --run-dir {run.path} --resume "
            f"writes it anew. Received: {run.model}: {error}"
        ) from error


def fingerprint_of(encoder: keras.Model) -> str:
    """What tells an encoder from any other: SHA-256 of its layers and weights."""
    digest = hashlib.sha256(json.dumps(encoder.get_config(), sort_keys=True).encode())
    for weights in encoder.get_weights():
        digest.update(weights.tobytes())
    return f"sha256:{digest.hexdigest()}"
