"""Stochastic gradient descent as PyTorch defines it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="and_tf")
class SGD(keras.optimizers.Optimizer):
    """SGD with L2 weight decay in the gradient and a momentum buffer free of the learning rate.

    For gradient `g` of variable `w`: `g <- g + weight_decay w`, `b <- momentum b + g`, then
    `w <- w - learning_rate (g + momentum b)` with Nesterov and `w <- w - learning_rate b` without.

    `keras.optimizers.SGD` differs twice: its `weight_decay` is decoupled from the gradient, and its
    momentum buffer holds the learning rate, so that a drop of the rate takes effect late.

    Args:
        learning_rate: float, or a Keras schedule.
        momentum: float in [0, 1).
        nesterov: Whether to look ahead along the buffer.
        weight_decay: Factor of the L2 term, applied to every trainable variable.
        name: Name of the optimiser.
        **kwargs: Passed on to `keras.optimizers.Optimizer` (clipping, accumulation, ...).

    Raises:
        ValueError: A momentum outside [0, 1), a negative weight decay, or Nesterov without momentum.

    Source: `torch.optim.SGD` with `dampening=0`; Sutskever et al., ICML 2013, for Nesterov's form.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.03,
        momentum: float = 0.9,
        nesterov: bool = True,
        weight_decay: float = 5e-4,
        name: str = "SGD",
        **kwargs: Any,
    ) -> None:
        if not 0 <= momentum < 1 or weight_decay < 0 or (nesterov and momentum == 0):
            raise ValueError(
                "SGD needs 0 <= momentum < 1, weight_decay >= 0, and a momentum if nesterov=True. "
                f"Received: momentum={momentum}, weight_decay={weight_decay}, nesterov={nesterov}"
            )
        # The base class would decouple the decay: it is told of none.
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.initial_learning_rate = learning_rate
        self.momentum = momentum
        self.nesterov = nesterov
        self.l2_weight_decay = weight_decay

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.momentums = []
        if self.momentum:
            self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable | tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        if isinstance(variable, keras.Variable):
            variable = variable.value
        learning_rate = tf.cast(learning_rate, variable.dtype)
        gradient = tf.cast(gradient, variable.dtype) + self.l2_weight_decay * variable
        if not self.momentum:
            variable.assign_sub(learning_rate * gradient)
            return
        # One pass over variable and buffer, where elementary operations make six.
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=self.momentums[self._get_variable_index(variable)].value.handle,
            lr=learning_rate,
            grad=gradient,
            momentum=tf.cast(self.momentum, variable.dtype),
            use_nesterov=self.nesterov,
        )

    def get_config(self) -> dict:
        config = super().get_config()
        # The rate it was made with: the current one is a variable and is saved as such.
        if isinstance(self.initial_learning_rate, float | int):
            config["learning_rate"] = float(self.initial_learning_rate)
        return config | {
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            "weight_decay": self.l2_weight_decay,
        }
