from __future__ import annotations

import keras
import numpy as np
import pytest

import and_tf


def torch_sgd(weights, gradients, rates, momentum, nesterov, weight_decay):
    """The update as torch.optim.SGD documents it, in float64."""
    buffer = np.zeros_like(weights)
    for gradient, rate in zip(gradients, rates, strict=True):
        gradient = gradient + weight_decay * weights
        buffer = momentum * buffer + gradient
        step = gradient + momentum * buffer if nesterov else buffer
        weights = weights - rate * step
    return weights


@pytest.mark.parametrize("momentum, nesterov", [(0.0, False), (0.9, False), (0.9, True)])
def test_agrees_with_torchs_update(momentum, nesterov):
    rng = np.random.default_rng(0)
    weights, gradients = rng.normal(size=6), rng.normal(size=(8, 6))
    rates = [0.1] * 4 + [0.01] * 4  # a drop shows whether the buffer holds the rate
    variable = keras.Variable(weights.astype("float32"))
    optimizer = and_tf.SGD(0.1, momentum, nesterov, weight_decay=0.05)
    for gradient, rate in zip(gradients, rates, strict=True):
        optimizer.learning_rate = rate
        optimizer.apply_gradients([(gradient.astype("float32"), variable)])
    expected = torch_sgd(weights, gradients, rates, momentum, nesterov, 0.05)
    np.testing.assert_allclose(variable, expected, rtol=1e-5, atol=1e-6)


def test_config_round_trip_keeps_the_first_rate():
    optimizer = and_tf.SGD(0.2, momentum=0.8, nesterov=False, weight_decay=0.01, clipnorm=1.0)
    optimizer.learning_rate = 0.002
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(copy, and_tf.SGD)
    assert copy.get_config() == optimizer.get_config()
    assert (copy.initial_learning_rate, copy.momentum, copy.nesterov) == (0.2, 0.8, False)
    assert (copy.l2_weight_decay, copy.clipnorm) == (0.01, 1.0)


@pytest.mark.parametrize(
    "wrong", [{"momentum": 1.0}, {"momentum": -0.1}, {"weight_decay": -1}, {"momentum": 0.0}]
)
def test_refuses_wrong_arguments(wrong):
    with pytest.raises(ValueError, match="Received: momentum="):
        and_tf.SGD(0.1, **wrong)
