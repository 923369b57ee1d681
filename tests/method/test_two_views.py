from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import and_tf
from and_tf.method.memory import updated_rows
from and_tf.method.two_views import two_view_losses

N = 30
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 16, 16, 3), dtype=np.uint8)


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    vectors = rng.normal(size=shape)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def naive_losses(views, ids, bank, neighbours, temperature: float) -> list[float]:
    """One candidate after the other."""
    losses = []
    for i in range(len(ids)):
        near = [j for j in neighbours[i] if j >= 0]
        of_views = []
        for mine, others in ((0, 1), (1, 0)):
            anchor = views[mine][i]

            def weight(vector, anchor=anchor):
                return np.exp(np.dot(anchor.astype(np.float64), vector) / temperature)

            positives = weight(views[others][i]) + sum(weight(bank[j]) for j in near)
            denominator = positives
            for k in range(len(ids)):
                if k != i and ids[k] not in near:
                    denominator += weight(views[0][k]) + weight(views[1][k])
            of_views.append(-np.log(positives / denominator))
        losses.append(np.mean(of_views))
    return losses


@pytest.mark.parametrize("temperature", [0.5, 0.02])
def test_losses_are_those_of_one_candidate_after_the_other(temperature):
    rng = np.random.default_rng(1)
    views, bank = unit(rng, 2, 6, 5), unit(rng, 20, 5)
    ids = np.array([3, 9, 4, 17, 0, 8])
    # Without a neighbour, with one, with two, with one that is in the batch as well.
    neighbours = np.array([[-1, -1], [2, -1], [5, 7], [9, 11], [-1, -1], [-1, 4]])
    rows = bank[np.maximum(neighbours, 0)]
    losses = two_view_losses(*views, ids, rows, neighbours, temperature)
    expected = naive_losses(views, ids, bank, neighbours, temperature)
    np.testing.assert_allclose(losses, expected, rtol=2e-4)


def test_without_neighbours_it_is_cross_entropy_over_all_other_views():
    views = unit(np.random.default_rng(2), 2, 4, 3)
    both = tf.reshape(views, [8, 3])
    logits = tf.linalg.set_diag(both @ tf.transpose(both) / 0.2, tf.fill([8], -1e9))
    partners = tf.constant([4, 5, 6, 7, 0, 1, 2, 3])
    entropies = keras.losses.sparse_categorical_crossentropy(partners, logits, from_logits=True)
    none = np.full((4, 1), -1)
    losses = two_view_losses(*views, np.arange(4), np.zeros((4, 1, 3), np.float32), none, 0.2)
    np.testing.assert_allclose(losses, tf.reduce_mean(tf.reshape(entropies, [2, 4]), 0), rtol=1e-5)


def test_gradients_reach_both_views_and_no_rows():
    first, second = map(tf.constant, unit(np.random.default_rng(3), 2, 4, 3))
    rows = tf.constant(unit(np.random.default_rng(4), 4, 1, 3))
    neighbours = np.arange(6, 10)[:, None]
    with tf.GradientTape() as tape:
        tape.watch([first, second, rows])
        loss = tf.reduce_sum(two_view_losses(first, second, np.arange(4), rows, neighbours, 0.1))
    of_first, of_second, of_rows = tape.gradient(loss, [first, second, rows])
    assert np.abs(of_first).max() > 0 and np.abs(of_second).max() > 0
    assert of_rows is None


def make_model(**options) -> and_tf.AND:
    keras.utils.set_random_seed(0)
    encoder = and_tf.encoders.conv4(input_shape=(16, 16, 3), embedding_dim=8, width=0.25)
    options = {"augment": and_tf.Augment(contrast=0, saturation=0, hue=0), "views": 2} | options
    model = and_tf.AND(encoder, N, **options)
    model.compile(and_tf.SGD(0.03))
    return model


def test_a_step_takes_two_views_and_counts_an_image_once():
    model, twin = make_model(), make_model()
    model.set_neighbourhoods(1, np.array([3]), np.array([[5]]))
    before, ids = model.bank.numpy(), np.array([3, 4, 7, 29])
    views = [twin.augment(IMAGES[ids], ids, epoch, 0) for epoch in (0, 1 << 27)]
    assert np.abs(views[0] - views[1]).max() > 1
    with tf.GradientTape() as tape:
        embeddings = tf.split(twin.encoder(tf.concat(views, 0), training=True), 2)
        neighbours = np.array([[5], [-1], [-1], [-1]])
        rows = before[np.maximum(neighbours, 0)]
        loss = tf.reduce_mean(two_view_losses(*embeddings, ids, rows, neighbours, 0.1))
    weights = twin.trainable_variables
    twin.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    np.testing.assert_allclose(model.train_on_batch(IMAGES[ids], ids), loss, rtol=1e-5)
    for weight, expected in zip(model.trainable_variables, weights, strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-5)
    new_rows = updated_rows(tf.constant(before[ids]), sum(embeddings) / 2, 0.5)
    np.testing.assert_allclose(model.bank.numpy()[ids], new_rows, atol=1e-5)
    assert list(np.flatnonzero(model.times_seen.numpy())) == list(ids)
    assert model.times_seen.numpy().max() == 1


def test_fit_discovers_neighbours_and_learns_and_is_saved(tmp_path):
    model = make_model()
    rounds = and_tf.NeighbourhoodDiscovery(rounds=1, epochs_per_round=6, schedule="cosine")
    history = model.fit(IMAGES, np.arange(N), 8, [rounds], epochs=12, verbose=0).history
    assert np.mean(history["loss"][9:]) < np.mean(history["loss"][:3])
    assert history["learning_rate"][0] == pytest.approx(0.03)
    assert np.all(np.diff(history["learning_rate"]) < 0)
    assert (model.neighbourhoods.numpy() >= 0).all()
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").views == 2


@pytest.mark.parametrize("options", [{"views": 3}, {"views": 0}, {"augment": None}])
def test_what_has_no_two_views_is_refused(options):
    with pytest.raises(ValueError, match="Received: views="):
        make_model(**options)
