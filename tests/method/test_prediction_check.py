"""Predictions that are one point while training looks well are found, whatever `fit` trains on."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import and_tf
from and_tf.method.prediction_check import first_batch

N = 40
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)
IDS = np.arange(N)


def make_model(momentum: float, **options) -> and_tf.AND:
    """A network whose batch norm has far larger averages than the batch's, until they have moved."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1e-4)(pixels))
    x = keras.layers.Dense(32, use_bias=False)(x)
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    x = keras.layers.BatchNormalization(momentum=momentum, epsilon=1e-9, synchronized=several)(x)
    x = keras.layers.Dense(8, bias_initializer="ones")(x)
    model = and_tf.AND(keras.Model(pixels, keras.layers.UnitNormalization()(x)), N, **options)
    model.compile(and_tf.SGD(0.03))
    return model


def said(model: and_tf.AND, x, y=None, epochs: int = 6, **options) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y, epochs=epochs, verbose=0, **options)
    return [str(w.message) for w in caught if "about one point" in str(w.message)]


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return IMAGES[index::2], IDS[index::2]


@pytest.mark.parametrize("kind", ["arrays", "an image set", "a data set", "a PyDataset"])
def test_batch_norm_that_lags_is_said_once_with_the_cure(kind):
    x, options = {
        "arrays": (IMAGES, {"y": IDS, "batch_size": 20}),
        "an image set": (and_tf.data.from_arrays(IMAGES), {"batch_size": 20}),
        "a data set": (tf.data.Dataset.from_tensor_slices((IMAGES, IDS)).batch(20), {}),
        "a PyDataset": (Batches(), {}),
    }[kind]
    if kind.endswith("et") and kind != "an image set":
        options["shuffle"] = False
    epochs = 16 if kind == "arrays" else 6  # looks at the end of epochs, too
    (message,) = said(make_model(momentum=0.999), x, epochs=epochs, **options)
    assert "batch norm's averages lag behind" in message and "momentum=0.9" in message


def test_averages_that_follow_are_left_alone():
    model = make_model(momentum=0.5)
    assert said(model, IMAGES, IDS, batch_size=20) == []
    assert said(make_model(momentum=0.999), IMAGES, IDS, epochs=1) == []  # nothing is learned yet


def generator():
    while True:
        yield from (Batches()[index] for index in range(2))


def test_a_generator_trains_on_the_batch_that_is_looked_at():
    model = make_model(momentum=0.999)
    (message,) = said(model, generator(), shuffle=False, steps_per_epoch=2)
    assert "batch norm's averages lag behind" in message
    np.testing.assert_array_equal(model.times_seen, np.full(N, 6))


def test_nothing_is_looked_at_where_nothing_is_known():
    sample, x = first_batch(iter(()), None)
    assert sample is None and not list(x)
    sample, x = first_batch((batch for batch in ()), None)
    assert sample is None and not list(x)
