"""Ids that no batch repeats and an epoch does, and epochs without end."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tensorflow as tf

import and_tf
from tests.method.test_model_checks import IDS, IMAGES, N, make_model

LABELS = IDS % 3


def one_by_one(ids):
    return tf.data.Dataset.from_tensor_slices((IMAGES, ids)).batch(1)


def generator(ids):
    yield from ((IMAGES[[row]], ids[[row]]) for row in range(N))


@pytest.mark.parametrize("data", [one_by_one, generator])
@pytest.mark.parametrize("options", [{}, {"steps_per_execution": 5}])
def test_class_labels_in_batches_of_one_image_are_refused(data, options):
    model = make_model(**options)
    with pytest.raises(ValueError, match="AND needs the id of every image.*") as raised:
        model.fit(data(LABELS), epochs=2, verbose=0)
    assert "Received: 3 different ids of" in str(raised.value)
    assert model.examples_seen <= N


def test_images_drawn_with_replacement_and_shuffled_ids_are_taken():
    rng = np.random.default_rng(0)
    for rows in (rng.integers(0, N, 2 * N), rng.permutation(N)):
        batches = tf.data.Dataset.from_tensor_slices((IMAGES[rows], IDS[rows])).batch(1)
        make_model().fit(batches, epochs=2, verbose=0)


def test_an_epoch_without_end_is_said():
    model = make_model()

    def endless():
        for _ in range(5):  # or for ever
            yield from generator(IDS)

    with pytest.warns(UserWarning, match="shown 64 images of 24, and goes on.*steps_per_epoch"):
        model.fit(endless(), verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_model().fit(endless(), steps_per_epoch=N, epochs=2, shuffle=False, verbose=0)


def test_rows_that_no_image_was_trained_for_are_said_before_they_are_searched():
    model = make_model()
    part = one_by_one(IDS).batch(8, drop_remainder=True).map(lambda x, y: (x[:, 0], y[:, 0]))
    rounds = and_tf.NeighbourhoodDiscovery(1, 1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(part, epochs=2, callbacks=[rounds], shuffle=False, verbose=0)
    model = make_model()
    with pytest.warns(UserWarning, match="8 of the 24 rows of the bank belong to no image"):
        model.fit(part.take(2), epochs=2, callbacks=[rounds], shuffle=False, verbose=0)
