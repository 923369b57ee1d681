from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import and_tf
from and_tf.method.memory import updated_rows
from and_tf.method.model_checks import check_convolutions
from and_tf.method.objective import neighbourhood_losses

N = 30
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 16, 16, 3), dtype=np.uint8)


def make_model(**options) -> and_tf.AND:
    keras.utils.set_random_seed(0)
    encoder = and_tf.encoders.conv4(input_shape=(16, 16, 3), embedding_dim=8, width=0.25)
    model = and_tf.AND(encoder, N, **options)
    model.compile(and_tf.SGD(0.03))
    return model


def state(model: and_tf.AND) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.variables + model.optimizer.variables]


def assert_same_state(one: and_tf.AND, other: and_tf.AND) -> None:
    for a, b in zip(state(one), state(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_predict_takes_stored_pixels_and_gives_unit_vectors():
    model = make_model()
    embeddings = model.predict(IMAGES, verbose=0)
    assert embeddings.shape == (N, 8) and embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(
        embeddings, model.predict(IMAGES.astype("float32"), verbose=0), atol=1e-6
    )


def test_a_step_is_the_objective_the_optimiser_and_the_bank_update():
    model = make_model(temperature=0.2, bank_momentum=0.25, neighbours=2)
    anchors, neighbours = np.array([3, 7]), np.array([[1, 2], [4, 5]])
    model.set_neighbourhoods(1, anchors, neighbours)
    before = model.bank.numpy()
    batch = np.array([3, 4, 7, 29])
    positives = [[3, 1, 2], [4, -1, -1], [7, 4, 5], [29, -1, -1]]
    np.testing.assert_array_equal(model.positives(tf.constant(batch)), positives)

    twin = make_model(temperature=0.2, bank_momentum=0.25, neighbours=2)
    with tf.GradientTape() as tape:
        embeddings = twin.encoder(IMAGES[batch], training=True)
        losses = neighbourhood_losses(embeddings, before, np.array(positives), 0.2)
        loss = tf.reduce_mean(losses)
    weights = twin.trainable_variables
    twin.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    found = model.train_on_batch(IMAGES[batch], batch)
    np.testing.assert_allclose(found, loss, rtol=1e-5)
    for weight, expected in zip(model.trainable_variables, weights, strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-6)
    rows = updated_rows(tf.constant(before[batch]), embeddings, 0.25)
    np.testing.assert_allclose(model.bank.numpy()[batch], rows, atol=1e-6)
    others = np.setdiff1d(np.arange(N), batch)
    np.testing.assert_array_equal(model.bank.numpy()[others], before[others])
    np.testing.assert_array_equal(model.times_seen, np.isin(np.arange(N), batch))


def test_a_sharded_bank_on_one_device_trains_and_evaluates_as_a_mirrored_one():
    models = [make_model(bank=bank, temperature=0.04) for bank in ("mirrored", "sharded")]
    found = []
    for model in models:
        history = model.fit(IMAGES, np.arange(N), batch_size=15, shuffle=False, verbose=0)
        evaluated = model.evaluate(IMAGES, np.arange(N), verbose=0)
        found.append([*history.history["loss"], evaluated])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
    one, other = (model.bank.numpy() for model in models)
    np.testing.assert_allclose(other, one, atol=1e-5)


def test_the_kind_of_bank_is_part_of_the_config():
    for bank in ("mirrored", "sharded"):
        config = make_model(bank=bank).get_config()
        assert config["bank"] == bank
        assert and_tf.AND.from_config(config).get_config()["bank"] == bank
    config = make_model().get_config()
    del config["bank"]  # as saved by earlier versions
    assert and_tf.AND.from_config(config).get_config()["bank"] == "mirrored"
    with pytest.raises(ValueError, match="Received: 'split'"):
        make_model(bank="split")


def test_a_step_is_traced_once():
    traces = []

    def augment(images, *_):
        traces.append(images.shape)
        return images

    model = make_model(augment=augment)
    for _ in range(2):
        model.fit(IMAGES, np.arange(N), batch_size=15, verbose=0)
    assert len(traces) == 1


def test_fit_on_arrays_learns_and_shows_each_example_once_an_epoch():
    model = make_model()
    history = model.fit(IMAGES, np.arange(N), batch_size=8, epochs=12, verbose=0)
    np.testing.assert_array_equal(model.times_seen, np.full(N, 12))
    assert history.history["loss"][-1] < history.history["loss"][0] - 0.5


class Recorder:
    """Stands in for an augmentation; keeps what it was asked for."""

    def __init__(self):
        self.calls = []

    def __call__(self, images, indices, epochs, seed):
        tf.py_function(lambda *call: self.calls.append([c.numpy() for c in call]),
                       [indices, epochs, seed], [])  # fmt: skip
        return tf.cast(images, tf.float32)


def test_augmentation_draws_follow_seed_epoch_and_index():
    recorder = Recorder()
    model = make_model(augment=recorder, seed=11)
    model.fit(IMAGES, np.arange(N), batch_size=N, epochs=2, shuffle=False, verbose=0)
    for epoch, (indices, epochs, seed) in enumerate(recorder.calls):
        np.testing.assert_array_equal(indices, np.arange(N))
        np.testing.assert_array_equal(epochs, np.full(N, epoch))
        assert seed == 11


def test_the_same_run_twice_gives_the_same_numbers():
    models = [make_model(augment=and_tf.Augment(), seed=5) for _ in range(2)]
    for model in models:
        images = and_tf.data.from_arrays(IMAGES)
        model.fit(
            images.training_batches(10, seed=5),  # XLA compiles once for each size of batch
            steps_per_epoch=3,
            epochs=2,
            shuffle=False,
            verbose=0,
        )
    assert_same_state(*models)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_bank_and_objective_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = make_model(augment=and_tf.Augment())
        assert model.encoder.get_layer("conv2_conv").compute_dtype == policy.removeprefix("mixed_")
        history = model.fit(IMAGES, np.arange(N), batch_size=10, epochs=8, verbose=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.bank.dtype == "float32"
    assert model.predict(IMAGES, verbose=0).dtype == np.float32
    assert history.history["loss"][-1] < history.history["loss"][0]
    np.testing.assert_allclose(np.linalg.norm(model.bank, axis=1), 1, atol=1e-5)


CONTINUE = """
import sys
import keras, and_tf
import numpy as np

images = np.load(sys.argv[1])
model = keras.models.load_model(sys.argv[2])
model.fit(and_tf.data.from_arrays(images).training_batches(10, seed=5, first_epoch=2),
          steps_per_epoch=3, initial_epoch=2, epochs=4, shuffle=False, verbose=0)
model.save(sys.argv[3])
"""


def test_saves_loads_in_a_fresh_process_and_goes_on(tmp_path):
    model = make_model(
        augment=and_tf.Augment(hue=0, flip=True),
        temperature=0.3,
        bank_momentum=0.4,
        neighbours=2,
        seed=9,
    )
    batches = and_tf.data.from_arrays(IMAGES).training_batches(10, seed=5)
    model.fit(batches, steps_per_epoch=3, epochs=2, shuffle=False, verbose=0)
    model.set_neighbourhoods(1, np.array([0, 9]), np.array([[1, 2], [3, 4]]))
    model.save(tmp_path / "half.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    arguments = [tmp_path / name for name in ("images.npy", "half.keras", "whole.keras")]
    subprocess.run([sys.executable, "-c", CONTINUE, *map(str, arguments)], check=True, timeout=300)

    loaded = keras.models.load_model(tmp_path / "half.keras")
    assert_same_state(model, loaded)
    for name in ("num_examples", "temperature", "bank_momentum", "neighbours", "augment", "seed"):
        assert loaded.get_config()[name] == model.get_config()[name]
    assert loaded.neighbourhoods.numpy()[9].tolist() == [3, 4]

    more = and_tf.data.from_arrays(IMAGES).training_batches(10, seed=5, first_epoch=2)
    model.fit(more, steps_per_epoch=3, initial_epoch=2, epochs=4, shuffle=False, verbose=0)
    assert_same_state(model, keras.models.load_model(tmp_path / "whole.keras"))


def test_evaluate_gives_the_objective_and_changes_nothing():
    model = make_model(augment=and_tf.Augment(), temperature=0.2)
    before = state(model)
    found = model.evaluate(IMAGES, np.arange(N), batch_size=7, verbose=0)
    embeddings = model.predict(IMAGES, verbose=0)
    losses = neighbourhood_losses(embeddings, model.bank, np.arange(N)[:, None], 0.2)
    assert found == pytest.approx(float(np.mean(losses)), rel=1e-5)
    for a, b in zip(before[:-1], state(model)[:-1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_pixels_reach_the_encoder_in_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make_model()
        inputs = model.encoder.get_layer("normalise").input
        normalise = keras.Model(inputs, model.encoder.get_layer("normalise").output)
        normalise.autocast = model.encoder.autocast
        pixels = tf.fill([1, 16, 16, 3], 200.4)  # bfloat16 has 200 and 201
        found = normalise(pixels)
    finally:
        keras.config.set_dtype_policy("float32")
    expected = (200.4 / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(found[0, 0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"temperature": 0}, "temperature must be above 0. Received: 0"),
        ({"bank_momentum": 1.0}, r"must be in \[0, 1\). Received: 1.0"),
        ({"neighbours": 0}, "Received: neighbours=0"),
        ({"neighbours": N}, f"Received: neighbours={N}"),
    ],
)
def test_refuses_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        make_model(**options)


def test_refuses_an_encoder_without_a_flat_embedding():
    pixels = keras.Input((16, 16, 3))
    encoder = keras.Model(pixels, keras.layers.Conv2D(4, 3)(pixels))
    with pytest.raises(ValueError, match=r"Received: output shape \(None, 14, 14, 4\)"):
        and_tf.AND(encoder, N)


@pytest.mark.parametrize(
    ("layer", "safe"),
    [
        (keras.layers.Conv2D(4, 1, strides=2, name="mine"), False),
        (keras.layers.Conv2D(4, 3, strides=2, name="mine"), True),
        (and_tf.encoders.convolution.Conv2D(4, 1, strides=2, name="mine"), True),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_trains_no_layer_whose_gradient_corrupts_memory(monkeypatch, layer, safe, nested):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [])
    layer = layer.from_config(layer.get_config())
    inputs = keras.Input((16, 16, 3))
    x = keras.Model(inputs, layer(inputs))(inputs) if nested else layer(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = and_tf.AND(keras.Model(inputs, keras.layers.UnitNormalization()(x)), N)
    if safe:
        check_convolutions(model.encoder)
        return
    model.compile(and_tf.SGD(0.03))
    assert model.predict(IMAGES, verbose=0).shape == (N, 4)
    message = "'mine' can corrupt memory .*Take and_tf.encoders.convolution.Conv2D.*, 3 channels"
    with pytest.raises(ValueError, match=message):
        model.fit(IMAGES, np.arange(N), verbose=0)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    check_convolutions(model.encoder)
