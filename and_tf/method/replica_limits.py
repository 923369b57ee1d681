"""What several replicas would train otherwise than one device does, refused before the first step."""

from __future__ import annotations

import keras
import tensorflow as tf

from and_tf.encoders.batch_norm import BatchNormalization


def check_encoder(encoder: keras.Model) -> None:
    """Make sure that an encoder gives the results of one device under the strategy in scope.

    Raises:
        NotImplementedError: A strategy of several replicas other than `tf.distribute.MirroredStrategy`
            and `MultiWorkerMirroredStrategy`.
        ValueError: An encoder made outside its scope, or batch norm that is not synchronised.
    """
    strategy = tf.distribute.get_strategy()
    if strategy.num_replicas_in_sync == 1:
        return
    known = tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy
    if not isinstance(strategy, known):
        raise NotImplementedError(
            "AND trains on several devices under tf.distribute.MirroredStrategy or "
            f"MultiWorkerMirroredStrategy. Received: {type(strategy).__name__}"
        )
    if not all(is_mirrored(variable) for variable in encoder.variables):
        raise ValueError(
            "The encoder's weights are on one device: make it within the strategy's scope, too."
        )
    for layer in encoder._flatten_layers():
        alone = isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized
        if alone and not isinstance(layer, BatchNormalization):
            raise ValueError(
                "Each replica would normalise its part of the batch alone: make batch norm with "
                f"synchronized=True. Received: layer {layer.name!r} without it"
            )


def check_training(model: keras.Model) -> None:
    """Make sure that several replicas train a compiled model as one device does.

    Raises:
        ValueError: They do not, with the reason.
    """
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas == 1:
        return
    if not all(map(is_mirrored, model.variables)):
        raise ValueError(
            f"{replicas} devices are to train a model that "
            "has its variables on one: make encoder, model and optimiser within the strategy's scope."
        )
    optimizer = model.optimizer
    if hasattr(optimizer, "inner_optimizer"):
        raise ValueError(
            "float16 needs its loss scaled, and Keras lets the first replica decide for all whether "
            "gradients are finite: use bfloat16 or float32 on several devices."
        )
    for name in ("clipnorm", "global_clipnorm", "clipvalue"):
        if (value := getattr(optimizer, name)) is not None:
            raise ValueError(
                "Keras clips the gradient of each replica's part of the batch, not of the batch: "
                f"do not clip on several devices. Received: {name}={value}"
            )
    if (steps := optimizer.gradient_accumulation_steps) is not None:
        raise ValueError(
            "Keras cannot accumulate gradients on several devices: use a larger batch. "
            f"Received: gradient_accumulation_steps={steps}"
        )
    if model.steps_per_execution > 1:
        raise ValueError(
            "TensorFlow cannot put the exchange between devices into a loop of steps: use "
            f"steps_per_execution=1. Received: {model.steps_per_execution}"
        )
    if model.uses_xla:
        raise ValueError(
            "XLA does not compile the exchange between devices: use jit_compile=False. "
            "Received: jit_compile=True"
        )
    if not all(is_mirrored(variable) for variable in optimizer.variables):
        raise ValueError(
            "The optimiser's variables are on one device: make it within the strategy's scope, too."
        )


def is_mirrored(variable: keras.Variable) -> bool:
    """Whether every replica has the variable."""
    return isinstance(variable.value, tf.distribute.DistributedValues)
