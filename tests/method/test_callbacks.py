from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import and_tf
from and_tf.discovery import neighbourhoods
from and_tf.discovery.neighbourhoods import discover
from and_tf.discovery.scann_index import load_scann
from and_tf.evaluation.knn import knn_accuracy
from and_tf.method.curriculum import Curriculum, select_anchors

N = 24
RNG = np.random.default_rng(0)
LABELS = np.arange(N) % 3
IMAGES = (60 * LABELS[:, None, None, None] + RNG.integers(0, 60, (N, 16, 16, 3))).astype("uint8")


def make_model(learning_rate: float = 0.01, **options) -> and_tf.AND:
    keras.utils.set_random_seed(0)
    encoder = and_tf.encoders.conv4(input_shape=(16, 16, 3), embedding_dim=8, width=0.25)
    model = and_tf.AND(encoder, N, **options)
    model.compile(and_tf.SGD(learning_rate))
    return model


class Log(keras.callbacks.Callback):
    """Keeps what a callback after `NeighbourhoodDiscovery` sees at each epoch's start."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_begin(self, epoch, logs=None):
        model = self.model
        self.epochs.append(
            (
                int(model.round),
                float(model.optimizer.learning_rate),
                model.neighbourhoods.numpy(),
                model.bank.numpy(),
            )
        )


def test_every_round_begins_with_discovery_and_the_first_rate():
    model = make_model(neighbours=2)
    discovery, log = and_tf.NeighbourhoodDiscovery(2, 5, 3, labels=LABELS), Log()
    history = model.fit(
        IMAGES, np.arange(N), batch_size=8, epochs=13, callbacks=[discovery, log], verbose=0
    )
    rounds, rates, tables, banks = zip(*log.epochs, strict=True)
    assert rounds == (0,) * 3 + (1,) * 5 + (2,) * 5
    of_round = [1, 1, 1, 0.1, 0.01]
    np.testing.assert_allclose(rates, np.array([1, 1, 0.1, *of_round, *of_round]) * 0.01, rtol=1e-6)
    assert history.history["round"] == list(rounds)
    np.testing.assert_allclose(history.history["learning_rate"], rates)

    assert (tables[2] == -1).all()
    for first, round_index in ((3, 1), (8, 2)):
        found = discover(banks[first], 2, model.temperature)
        anchors = select_anchors(found.entropy, round_index, 2)
        expected = np.full((N, 2), -1)
        expected[anchors] = found.neighbours[anchors]
        for epoch in range(first, first + 5):
            np.testing.assert_array_equal(tables[epoch], expected)

    found = discover(banks[8], 2, model.temperature)
    latest = discovery.latest
    assert (latest.round, latest.anchors) == (2, N)
    assert latest.anchor_entropy == pytest.approx(latest.entropy)
    assert latest.mutual_neighbours == found.mutual_share()
    pairs = LABELS[found.neighbours] == LABELS[:, None]
    assert latest.consistency == pytest.approx(pairs.mean())


def test_initial_epoch_goes_on_in_the_middle_of_a_round(tmp_path):
    def discovery():
        return and_tf.NeighbourhoodDiscovery(2, 3)

    def fit(model, first, last):
        batches = and_tf.data.from_arrays(IMAGES).training_batches(8, 1, first_epoch=first)
        model.fit(batches, steps_per_epoch=3, initial_epoch=first, epochs=last,
                  callbacks=[discovery()], shuffle=False, verbose=0)  # fmt: skip

    whole, half = make_model(), make_model()
    fit(whole, 0, 9)
    fit(half, 0, 5)
    half.save(tmp_path / "half.keras")
    half = keras.models.load_model(tmp_path / "half.keras")
    fit(half, 5, 9)
    for a, b in zip(whole.variables, half.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_rounds_can_be_discovered_by_scann(monkeypatch):
    if load_scann() is None:
        pytest.skip("ScaNN has no wheel for this platform")
    monkeypatch.setattr(neighbourhoods, "FEWEST_ROWS", 0)
    images = np.tile(IMAGES, (10, 1, 1, 1))
    model = make_model()
    model = and_tf.AND(model.encoder, len(images), neighbours=2, seed=7)
    model.compile(and_tf.SGD(0.01))
    discovery = and_tf.NeighbourhoodDiscovery(4, 1, 1, searcher="scann")
    model.fit(images, np.arange(len(images)), epochs=2, callbacks=[discovery], verbose=0)
    latest = discovery.latest
    assert latest.anchors == 60 and (model.neighbourhoods.numpy()[:, 0] >= 0).sum() == 60
    assert latest.probe.rows == len(images) and latest.probe.recall > 0.9
    model = make_model()
    discovery = and_tf.NeighbourhoodDiscovery(1, 1, 1)
    model.fit(IMAGES, np.arange(N), epochs=2, callbacks=[discovery], verbose=0)
    assert discovery.latest.probe is None  # so few are searched exactly


def test_the_rate_can_be_given():
    model, log = make_model(), Log()
    discovery = and_tf.NeighbourhoodDiscovery(
        0, 1, 4, learning_rate=0.5, learning_rate_drops=[0.5], learning_rate_drop_factor=0.2
    )
    model.fit(IMAGES, np.arange(N), epochs=4, callbacks=[discovery, log], verbose=0)
    np.testing.assert_allclose([rate for _, rate, *_ in log.epochs], [0.5, 0.5, 0.1, 0.1])
    assert discovery.latest is None


def test_evaluation_reports_bank_and_recomputed_features():
    model = make_model()
    train = and_tf.data.from_arrays(IMAGES[:18], LABELS[:18])
    model = and_tf.AND(model.encoder, 18)
    model.compile(and_tf.SGD(0.01))
    test = and_tf.data.from_arrays(IMAGES[18:], LABELS[18:])
    evaluation = and_tf.KNNEvaluation(
        train, test, neighbours=5, every_epochs=2, curriculum=Curriculum(1, 2, 3), batch_size=7
    )
    before = model.predict(IMAGES, verbose=0)
    history = model.fit(
        IMAGES[:18], np.arange(18), epochs=5, callbacks=[evaluation], verbose=0
    ).history
    assert evaluation.untrained == knn_accuracy(
        before[18:], LABELS[18:], before[:18], LABELS[:18], 5
    )
    assert len(history["knn_bank"]) == len(history["knn_features"]) == 5
    after = model.predict(IMAGES, verbose=0)
    for name, rows in (("knn_features", after[:18]), ("knn_bank", model.bank.numpy())):
        assert history[name][-1] == knn_accuracy(after[18:], LABELS[18:], rows, LABELS[:18], 5)


def test_evaluation_without_test_images_leaves_each_image_out():
    model = make_model()
    train = and_tf.data.from_arrays(IMAGES, LABELS)
    found = _attached(and_tf.KNNEvaluation(train, neighbours=1), model).evaluate()
    rows = model.predict(IMAGES, verbose=0)
    similarities = rows @ rows.T - 3 * np.eye(N)
    expected = np.mean(LABELS[similarities.argmax(axis=1)] == LABELS)
    assert found["knn_features"] == pytest.approx(expected)


def _attached(callback, model):
    callback.set_model(model)
    return callback


def test_evaluation_needs_labels():
    with pytest.raises(ValueError, match="Received: arrays has none"):
        and_tf.KNNEvaluation(and_tf.data.from_arrays(IMAGES))
    with pytest.raises(ValueError, match="a pair .images, labels.. Received: ndarray"):
        and_tf.KNNEvaluation(IMAGES)


def test_discovery_refuses_labels_that_do_not_fit():
    with pytest.raises(ValueError, match="24 examples needs a label.*Received: 23 labels"):
        make_model().fit(
            IMAGES,
            np.arange(N),
            callbacks=[and_tf.NeighbourhoodDiscovery(labels=LABELS[1:])],
            verbose=0,
        )


@pytest.mark.parametrize("optimizer", [and_tf.SGD, keras.optimizers.SGD])
def test_discovery_refuses_a_schedule(optimizer):
    model = make_model()
    model.compile(optimizer(keras.optimizers.schedules.CosineDecay(0.1, 100)))
    with pytest.raises(ValueError, match="Received: CosineDecay"):
        model.fit(IMAGES, np.arange(N), callbacks=[and_tf.NeighbourhoodDiscovery(1, 1)], verbose=0)


def test_evaluation_says_a_number_of_neighbours_that_is_too_large():
    with pytest.warns(UserWarning, match="is 200, more than have a label: K is 23"):
        and_tf.KNNEvaluation((IMAGES, LABELS))
    with pytest.warns(UserWarning, match="smallest class, 0, have 7 more"):
        and_tf.KNNEvaluation((IMAGES, LABELS), neighbours=9)
    for options in ({"neighbours": 0}, {"every_epochs": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            and_tf.KNNEvaluation((IMAGES, LABELS), **options)


@pytest.mark.parametrize(
    "images, received",
    [
        (IMAGES[:20], "20 images, where the bank has 24 rows"),
        (IMAGES[::-1], "another image than that of id 0"),
    ],
)
def test_evaluation_refuses_other_images_than_those_of_the_bank(images, received):
    model = make_model()
    evaluation = and_tf.KNNEvaluation((images, LABELS[: len(images)]), neighbours=3)
    with pytest.raises(ValueError, match=f"in the order of their ids.* Received: {received}"):
        model.fit(IMAGES, np.arange(N), callbacks=[evaluation], verbose=0)
    assert model.examples_seen == 0


def test_test_images_of_another_size_are_refused_though_layers_would_take_them():
    model = make_model()
    model.predict(IMAGES, verbose=0)
    other = (np.zeros((4, 20, 20, 3), np.uint8), LABELS[:4])
    evaluation = and_tf.KNNEvaluation((IMAGES, LABELS), other, neighbours=3)
    with pytest.raises(ValueError, match=r"of the shape \[B, 16, 16, 3\].* 20, 20, 3\]"):
        model.fit(IMAGES, np.arange(N), callbacks=[evaluation], verbose=0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible"):
        for images in (IMAGES, other[0]):  # where sizes are not known before
            sizes = tf.TensorSpec((None, None, None, 3), tf.uint8)
            batches = tf.data.Dataset.from_generator(lambda i=images: [i], output_signature=sizes)
            model.predict(batches, verbose=0)
