"""`AND` beside the rest of Keras: image sets, validation, and Keras's own callbacks."""

from __future__ import annotations

import csv
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import and_tf
from and_tf.data.whole_crop import WholeCrop

N = 24
RNG = np.random.default_rng(0)
LABELS = np.arange(N) % 3
IMAGES = (60 * LABELS[:, None, None, None] + RNG.integers(0, 60, (N, 8, 8, 3))).astype("uint8")
IDS = np.arange(N)
SET = and_tf.data.from_arrays(IMAGES, LABELS)
TEST = and_tf.data.from_arrays(IMAGES[:7] + 1, LABELS[:7], "test")


def make_model(**options) -> and_tf.AND:
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
            keras.layers.UnitNormalization(),
        ]
    )
    model = and_tf.AND(encoder, N, **options)
    model.compile(and_tf.SGD(0.03))
    return model


def fit(*callbacks, model=None, epochs=1, **options):
    model = model or make_model()
    return model.fit(
        SET, batch_size=12, epochs=epochs, callbacks=[*callbacks], verbose=0, **options
    )


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number, pixels in enumerate(IMAGES):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    images, _ = and_tf.data.load("folder", path=folder, in_memory=False)
    return images


def test_an_image_set_trains_in_memory_and_streamed_with_its_steps_known(streamed):
    steps = []
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: steps.append(batch)
    )
    models = []
    for images in (SET, streamed):
        model = make_model(seed=3)
        model.fit(images, batch_size=10, epochs=2, callbacks=count, verbose=0)
        assert count.params["steps"] == 3
        np.testing.assert_array_equal(model.times_seen, np.full(N, 2))
        models.append(model)
    assert steps == 2 * 2 * [0, 1, 2]
    one, other = models
    np.testing.assert_array_equal(one.bank, other.bank)
    for images in (SET, streamed):
        np.testing.assert_allclose(
            one.predict(images, verbose=0), one.predict(IMAGES, verbose=0), atol=1e-6
        )
        assert one.evaluate(images, batch_size=10, verbose=0) == pytest.approx(
            one.evaluate(IMAGES, IDS, verbose=0), rel=1e-5
        )


def test_the_order_of_an_image_set_goes_on_with_the_epoch():
    whole, halves = make_model(), make_model()
    fit(model=whole, epochs=4)
    fit(model=halves, epochs=2)
    fit(model=halves, epochs=4, initial_epoch=2)
    np.testing.assert_array_equal(whole.bank, halves.bank)


def test_crops_are_cut_from_whole_photographs_as_by_the_command(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(4):
        pixels = rng.integers(0, 256, (64, 150, 3), dtype=np.uint8)  # a wide photograph
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    photographs, _ = and_tf.data.load("folder", path=tmp_path, image_size=64)
    encoder = keras.Sequential(
        [keras.Input((64, 64, 3)), keras.layers.Flatten(), keras.layers.Dense(4, use_bias=False),
         keras.layers.UnitNormalization()]
    )  # fmt: skip
    cut: list[np.ndarray] = []

    class Kept(and_tf.Augment):
        def __call__(self, images, *arguments):
            cut.append((self.crop_scale, images.numpy()))
            return super().__call__(images, *arguments)

        def without_crop(self):
            return Kept(**self.get_config() | {"crop_scale": None})

    model = and_tf.AND(encoder, 4, seed=5, augment=Kept(hue=0))
    model.compile(and_tf.SGD(0.0), run_eagerly=True)
    model.fit(photographs, batch_size=4, epochs=1, verbose=0)
    model.fit(photographs, batch_size=4, epochs=1, verbose=0)
    crop = WholeCrop((0.2, 1.0), (3 / 4, 4 / 3))
    expected = photographs.training_batches(4, 5, crop=crop).take(2)
    for (scale, images), (batch, _) in zip(cut, expected, strict=True):  # the second fit goes on
        assert scale is None
        np.testing.assert_array_equal(images, batch)
    model.fit(photographs.images, IDS[:4], batch_size=4, verbose=0)  # arrays are cut by the model
    assert cut[-1][0] == (0.2, 1.0)
    assert model.get_config()["augment"]["config"]["crop_scale"] == (0.2, 1.0)


def test_what_an_image_set_cannot_be_trained_with_is_refused(streamed):
    with pytest.raises(ValueError, match="that streams are None: give the set itself"):
        make_model().fit(streamed.images, IDS, verbose=0)
    with pytest.raises(ValueError, match="brings its ids"):
        make_model().fit(SET, IDS, verbose=0)
    with pytest.raises(ValueError, match="made for 24 images.*Received: test of 7 images"):
        make_model().fit(TEST, verbose=0)


@pytest.mark.parametrize("method, steps", [("fit", "steps_per_epoch"), ("evaluate", "steps"),
                                           ("predict", "steps")])  # fmt: skip
def test_endless_data_without_steps_is_refused(method, steps):
    for batches in (SET.training_batches(12, seed=0), SET.ordered_batches(12).repeat()):
        with pytest.raises(ValueError, match=rf"no end: give {steps}.* Received: {steps}=None"):
            getattr(make_model(), method)(batches, verbose=0)


def test_validation_is_measured_on_images_of_the_bank_alone():
    model = make_model()
    validation = (IMAGES[6:], IDS[6:])
    history = model.fit(IMAGES, IDS, validation_data=validation, batch_size=12, verbose=0).history
    assert history["val_loss"][0] == pytest.approx(model.evaluate(*validation, verbose=0), rel=1e-5)
    both = fit(model=model, validation_data=SET).history
    assert both["val_loss"][0] == pytest.approx(model.evaluate(SET, verbose=0), rel=1e-5)
    held_out = IMAGES[:7] + 1
    for data, received in (
        ((held_out, LABELS[:7]), "3 repeated, the first 0"),
        ((held_out, np.arange(7)), "another image than that of id 0 in training"),
        ((held_out, None), "images alone"),
        (TEST, "'test'"),
    ):
        with pytest.raises(
            ValueError, match="give fit the callback and_tf.KNNEvaluation"
        ) as raised:
            model.fit(IMAGES, IDS, validation_data=data, verbose=0)
        assert received in str(raised.value)
    labelled = tf.data.Dataset.from_tensors((held_out, LABELS[:7]))
    with pytest.raises(ValueError, match=r"and_tf.KNNEvaluation. Received: 3 repeated"):
        model.fit(IMAGES, IDS, validation_data=labelled, verbose=0)
    with pytest.raises(ValueError, match="would leave images of the bank untrained"):
        model.fit(IMAGES, IDS, validation_split=0.2, verbose=0)


def test_every_epoch_logs_the_same_keys_for_csv_and_tensorboard(tmp_path):
    evaluation = and_tf.KNNEvaluation(
        (IMAGES, LABELS), (IMAGES[:7], LABELS[:7]), neighbours=3, every_epochs=3
    )
    fresh = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: evaluated.append(evaluation.is_fresh)
    )
    evaluated: list[bool] = []
    history = fit(  # those that read the logs stand first, and are called last
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TensorBoard(tmp_path / "board", write_graph=False),
        fresh,
        evaluation,
        epochs=5,
    ).history
    assert evaluated == [True, False, True, False, True]
    with open(tmp_path / "log.csv", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    for name in ("knn_bank", "knn_features"):
        assert [float(line[name]) for line in lines] == history[name]
        assert history[name][1] == history[name][0] and history[name][3] == history[name][2]
    (events,) = (tmp_path / "board/train").iterdir()
    tags = [
        value.tag
        for record in tf.data.TFRecordDataset(str(events))
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value
    ]
    assert tags.count("epoch_knn_features") == tags.count("epoch_loss") == 5


class Figures(and_tf.KNNEvaluation):
    """Stands in for an evaluation that finds what it is told."""

    def __init__(self, figures, **options):
        super().__init__(SET, neighbours=3, every_epochs=1, **options)
        self.figures = iter([figures[0], *figures])  # the first before training

    def evaluate(self):
        figure = next(self.figures)
        return {"knn_bank": figure, "knn_features": figure}


def test_the_checkpoint_of_the_best_accuracy_is_kept(tmp_path):
    saved = []

    class Saved(keras.callbacks.ModelCheckpoint):
        def _save_model(self, epoch, batch, logs):
            before = self.best
            super()._save_model(epoch, batch, logs)
            if self.best != before:
                saved.append(epoch)

    best = Saved(tmp_path / "best.keras", monitor="knn_features", save_best_only=True)
    fit(best, Figures([0.5, 0.4, 0.7, 0.6]), epochs=4)
    assert saved == [0, 2] and best.best == 0.7
    assert keras.models.load_model(tmp_path / "best.keras").examples_seen == 3 * N


def test_early_stopping_by_accuracy_stops_and_restores_the_best():
    model = make_model()
    stopping = keras.callbacks.EarlyStopping("knn_features", patience=2, restore_best_weights=True)
    history = fit(stopping, Figures([0.5, 0.7, 0.6, 0.6, 0.6, 0.6]), model=model, epochs=6)
    assert history.epoch == [0, 1, 2, 3] and model.examples_seen == 2 * N


def test_the_rate_is_reduced_on_a_plateau_where_no_rounds_set_it():
    model = make_model()
    reduce = keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=1, min_delta=100)
    fit(reduce, model=model, epochs=3)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.0003, rel=1e-3)


def test_a_run_is_backed_up_and_goes_on(tmp_path):
    class Power(Exception):
        pass

    def fail(epoch, logs):
        if epoch == 1:
            raise Power

    whole, cut, again = make_model(), make_model(), make_model()
    fit(model=whole, epochs=3)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(Power):
        fit(backup, keras.callbacks.LambdaCallback(on_epoch_begin=fail), model=cut, epochs=3)
    model = again
    fit(keras.callbacks.BackupAndRestore(tmp_path / "backup"), model=model, epochs=3)
    assert model.examples_seen == whole.examples_seen


EVALUATION = {"train": SET, "neighbours": 3, "every_epochs": 5}


@pytest.mark.parametrize(
    "callbacks, message",
    [
        (lambda: [and_tf.NeighbourhoodDiscovery(1, 1), keras.callbacks.ReduceLROnPlateau("loss")],
         "sets the learning rate of every epoch itself.* Received: ReduceLROnPlateau"),
        (lambda: [and_tf.NeighbourhoodDiscovery(1, 1),
                  keras.callbacks.LearningRateScheduler(lambda epoch: 1)],
         "Received: LearningRateScheduler"),
        (lambda: [and_tf.NeighbourhoodDiscovery(1, 1), keras.callbacks.EarlyStopping("loss")],
         "The loss rises where a round begins"),
        (lambda: [keras.callbacks.EarlyStopping()], "which only validation_data gives"),
        (lambda: [keras.callbacks.ReduceLROnPlateau()], "which only validation_data gives"),
        (lambda: [keras.callbacks.ModelCheckpoint("x.keras", save_best_only=True)],
         "which only validation_data gives"),
        (lambda: [keras.callbacks.EarlyStopping("knn_bank")], "give fit an and_tf.KNNEvaluation"),
        (lambda: [keras.callbacks.EarlyStopping("accuracy")], "AND has no accuracy of its own"),
        (lambda: [and_tf.KNNEvaluation(**EVALUATION), keras.callbacks.EarlyStopping("knn_feature")],
         "logs knn_bank and knn_features. .*monitor='knn_feature'"),
        (lambda: [and_tf.KNNEvaluation(**EVALUATION),
                  keras.callbacks.EarlyStopping("knn_features", patience=4)],
         "evaluates every 5: the patience must be at least that"),
    ],
)  # fmt: skip
def test_callbacks_that_cannot_work_are_refused_before_the_first_step(callbacks, message):
    model = make_model()
    with pytest.raises(ValueError, match=message):
        fit(*callbacks(), model=model, epochs=2)
    assert model.examples_seen == 0


def test_weights_are_not_restored_beside_a_sharded_bank():
    stopping = keras.callbacks.EarlyStopping("loss", restore_best_weights=True)
    with pytest.raises(ValueError, match="sharded bank is not among the weights"):
        fit(stopping, model=make_model(bank="sharded"))


@pytest.mark.parametrize(
    "epochs, message", [(2, "ends in round 1 of 2"), (4, "goes on in the last round"), (3, None)]
)
def test_epochs_that_do_not_match_the_rounds_are_said(epochs, message):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(and_tf.NeighbourhoodDiscovery(2, 1), epochs=epochs)
    found = [str(w.message) for w in caught if "The rounds take 3 epochs" in str(w.message)]
    assert len(found) == (message is not None)
    assert message is None or (message in found[0] and f"epochs={epochs}" in found[0])


def test_a_model_is_exported_as_its_encoder(tmp_path):
    model = make_model()
    fit(model=model)
    expected = model.predict(IMAGES, verbose=0)
    model.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(loaded.serve(IMAGES.astype("float32")), expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"as a .keras file.* Received: .*model.h5"):
        model.save(tmp_path / "model.h5")
