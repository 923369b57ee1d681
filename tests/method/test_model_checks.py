"""What `AND` refuses, in the same words however it comes and however its step is compiled."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import and_tf

N = 24
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)
IDS = np.arange(N)


def dense_encoder(*after: keras.layers.Layer) -> keras.Model:
    """An encoder of one's own, traced in no time."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
            *after,
        ]
    )


def make_model(**options) -> and_tf.AND:
    keras.utils.set_random_seed(0)
    model = and_tf.AND(dense_encoder(keras.layers.UnitNormalization()), N)
    model.compile(and_tf.SGD(0.03), **options)
    return model


class Batches(keras.utils.PyDataset):
    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return 2

    def __getitem__(self, index):
        part = slice(12 * index, 12 * index + 12)
        return tuple(array[part] for array in self.arrays)


def data_set(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(12)


def generator(*arrays):
    batches = Batches(*arrays)
    yield from (batches[index] for index in range(2))


WAYS = {
    "arrays": lambda model, *arrays: model.fit(*arrays, batch_size=12, verbose=0),
    "a data set": lambda model, *arrays: model.fit(data_set(*arrays), shuffle=False, verbose=0),
    "a PyDataset": lambda model, *arrays: model.fit(Batches(*arrays), shuffle=False, verbose=0),
    "a generator": lambda model, *arrays: model.fit(generator(*arrays), shuffle=False, verbose=0),
    "one batch": lambda model, *arrays: model.train_on_batch(*arrays),
    "evaluate": lambda model, *arrays: model.evaluate(*arrays, batch_size=12, verbose=0),
    "evaluate a data set": lambda model, *arrays: model.evaluate(data_set(*arrays), verbose=0),
    "test_on_batch": lambda model, *arrays: model.test_on_batch(*arrays),
}
WRONG = {
    "1 outside, the first 24": np.where(IDS == 0, N, IDS),
    "repeated, the first 0": IDS % 5,  # class labels
    "targets of dtype float": IDS * 1.0,
    "targets of dtype bool": IDS > 3,
}


@pytest.mark.parametrize("options", [{}, {"jit_compile": True}, {"run_eagerly": True}])
def test_wrong_ids_are_refused_in_the_same_words_and_change_nothing(options):
    model = make_model(**options)
    before = [variable.numpy() for variable in model.variables]
    for received, ids in WRONG.items():
        for way, fit in WAYS.items():
            with pytest.raises(ValueError, match="AND needs the id of every image") as raised:
                fit(model, IMAGES, ids)
            assert received in str(raised.value), way
    for ids in (None, *([] if "run_eagerly" in options else [()])):
        for way in ("arrays", "a data set", "one batch"):
            arrays = (IMAGES,) if ids == () or way == "a data set" else (IMAGES, ids)
            with pytest.raises(ValueError, match="Received: images alone"):
                WAYS[way](model, *arrays)
    for variable, value in zip(model.variables, before, strict=True):
        if "loss" not in variable.path:
            np.testing.assert_array_equal(variable, value)
    WAYS["a data set"](model, IMAGES, IDS)
    assert model.examples_seen == N


def test_xla_trains_to_the_same_weights_and_is_part_of_what_is_saved(tmp_path):
    plain, compiled = make_model(), make_model(jit_compile=True)
    assert not plain.uses_xla and compiled.uses_xla
    for model in (plain, compiled):
        model.fit(IMAGES, IDS, batch_size=12, shuffle=False, verbose=0)
    for one, other in zip(plain.variables, compiled.variables, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    compiled.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").uses_xla


def test_the_recipe_for_a_data_set_is_right():
    model = make_model()
    with pytest.raises(ValueError) as raised:
        model.fit(tf.data.Dataset.from_tensor_slices(IMAGES).batch(12), verbose=0)
    lines = [line for line in str(raised.value).splitlines() if line.startswith("    ")]
    assert len(lines) == 2
    images = tf.data.Dataset.from_tensor_slices(IMAGES)
    exec("\n".join(map(str.strip, lines)), {"images": images, "model": model})  # noqa: S102
    np.testing.assert_array_equal(model.times_seen, np.ones(N))


@pytest.mark.parametrize("way", ["arrays", "a data set", "a PyDataset", "one batch", "evaluate"])
def test_weights_are_refused(way):
    model = make_model()
    weights = np.ones(N)
    with pytest.raises(ValueError, match="neither `sample_weight` nor `class_weight`"):
        if way in ("arrays", "evaluate"):
            getattr(model, "fit" if way == "arrays" else "evaluate")(
                IMAGES, IDS, sample_weight=weights, verbose=0
            )
        else:
            WAYS[way](model, IMAGES, IDS, weights)
    with pytest.raises(ValueError, match="neither `sample_weight` nor `class_weight`"):
        model.fit(IMAGES, IDS, class_weight=dict.fromkeys(range(N), 0.0), verbose=0)


@pytest.mark.parametrize(
    "options",
    [{"loss": "mse"}, {"metrics": ["accuracy"]}, {"weighted_metrics": []}, {"loss_weights": [1]}],
)
def test_losses_and_metrics_are_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"takes no `{name}`"):
        make_model(**options)
    with pytest.raises(ValueError, match="takes no `loss`"):
        make_model().compile(and_tf.SGD(), "mse")


@pytest.mark.parametrize(
    "way, scale",
    [
        *(("arrays", scale) for scale in ("to -1 to 1", "by mean and deviation")),
        *((way, "by 255") for way in [*WAYS, "predict", "predict a data set"]),
    ],
)
def test_pixels_that_are_not_as_stored_are_warned_of_once(way, scale):
    model = make_model()
    fit = WAYS.get(way)
    mean, deviation = {
        "by 255": (0, 255),
        "to -1 to 1": (127.5, 127.5),
        "by mean and deviation": (120, 60),
    }[scale]
    scaled = ((IMAGES - np.float32(mean)) / deviation).astype("float32")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if fit is not None:
            fit(model, scaled, IDS)
        else:
            model.predict(scaled if way == "predict" else data_set(scaled), verbose=0)
        model.predict(scaled, verbose=0)
    (message,) = [str(w.message) for w in caught if "pixels as they are stored" in str(w.message)]
    assert f"from {scaled.min():g} to " in message


def _nan(pixels: np.ndarray) -> np.ndarray:
    pixels = pixels.astype("float32")
    pixels[3, 2, 2] = np.nan
    return pixels


@pytest.mark.parametrize("pixels, said", [
    (IMAGES.astype("uint16") * 257, "16 bits"),
    (IMAGES.astype("int64") - 128, "normalised already"),
    (IMAGES > 128, "divided by 255"),
    (_nan(IMAGES), "from nan to nan. Pixels that are not finite"),
])  # fmt: skip
def test_pixels_of_other_ranges_are_warned_of_whatever_their_dtype(pixels, said):
    model = make_model()
    with pytest.warns(UserWarning, match=f"pixels as they are stored.*{said}"):
        model.predict(pixels, verbose=0)


GREY = IMAGES[..., 0]


@pytest.mark.parametrize(
    "images, received",
    [
        (GREY, r"from_arrays\(images\).images has 3 channels.* \[.*8, 8\]"),
        (GREY[..., None], r"from_arrays\(images\).images has 3 channels.* 8, 8, 1\]"),
        (np.concatenate([IMAGES, GREY[..., None]], -1), "leaves transparency out.* 8, 8, 4"),
        (np.moveaxis(IMAGES, -1, 1), r"np.moveaxis\(images, 1, -1\).* 3, 8, 8\]"),
        (np.zeros((N, 9, 8, 3), np.uint8), r"of the shape \[B, 8, 8, 3\]; resize.* 9, 8, 3\]"),
    ],
)
def test_images_of_another_shape_are_refused_with_the_cure(images, received):
    model = make_model()
    for way in ("arrays", "a data set", "evaluate"):
        with pytest.raises(ValueError, match=received):
            WAYS[way](model, images, IDS)
    with pytest.raises(ValueError, match=received):
        model.predict(images, verbose=0)


def test_single_images_are_refused_and_none_give_no_embeddings():
    model = make_model()
    one_by_one = tf.data.Dataset.from_tensor_slices((IMAGES, IDS))
    for attempt in (lambda: model.predict(IMAGES[0]), lambda: model.fit(one_by_one, verbose=0)):
        with pytest.raises(ValueError, match=r"image\[np.newaxis\] for one, dataset.batch"):
            attempt()
    nothing = IMAGES[:0]
    for images in (nothing, tf.data.Dataset.from_tensor_slices(nothing).batch(2)):
        assert model.predict(images, verbose=0).shape == (0, 4)
    with pytest.raises(ValueError, match="There are no images to train on"):
        model.fit(nothing, IDS[:0])


def test_lists_are_taken_as_arrays():
    one, other = make_model(), make_model()
    WAYS["arrays"](one, IMAGES, IDS)
    WAYS["arrays"](other, list(IMAGES), range(N))
    np.testing.assert_array_equal(one.bank, other.bank)
    np.testing.assert_array_equal(
        one.predict(list(IMAGES), verbose=0), one.predict(IMAGES, verbose=0)
    )
    assert one.evaluate(list(IMAGES), [*IDS], verbose=0) == one.evaluate(IMAGES, IDS, verbose=0)
    for images in ((IMAGES, IDS), [IMAGES[0], IMAGES[1, :4]]):
        with pytest.raises(ValueError, match="Give images and ids apart.* of 2, of shapes"):
            one.fit(images, verbose=0)


def test_stored_pixels_of_any_dtype_are_taken():
    model = make_model()
    black = np.zeros_like(IMAGES, dtype="float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for images in (IMAGES, IMAGES.astype("float32"), IMAGES.astype("int64"), black):
            model.fit(images, IDS, batch_size=12, verbose=0)
            model.predict(images, verbose=0)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_an_encoder_without_unit_vectors_is_refused(policy):
    keras.config.set_dtype_policy(policy)
    try:
        with pytest.raises(ValueError, match=r"unit vectors: let it end with .* Received: embed"):
            and_tf.AND(dense_encoder(), N)
        halves = dense_encoder(keras.layers.UnitNormalization(), keras.layers.Rescaling(0.5))
        with pytest.raises(ValueError, match="Received: embeddings of length 0\\.(5|49)"):
            and_tf.AND(halves, N)
        with pytest.raises(ValueError, match=r"Received: output shape \(None, 8, 8, 3\)"):
            pixels = keras.Input((8, 8, 3))
            and_tf.AND(keras.Model(pixels, keras.layers.ReLU()(pixels)), N)
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_embeddings_are_float32_unit_vectors_under_any_policy(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        model = make_model()
        assert model.encoder.name == "sequential" or model.encoder.name.startswith("sequential_")
        model.fit(IMAGES, IDS, batch_size=12, verbose=0)
    finally:
        keras.config.set_dtype_policy("float32")
    embeddings = model.predict(IMAGES, verbose=0)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(IMAGES, verbose=0), embeddings)


def test_sizes_that_are_no_whole_numbers_are_refused():
    for size in (8.0, "8", 0):
        for method in ("fit", "evaluate"):
            with pytest.raises(ValueError, match="batch_size must be a whole number from 1 on"):
                getattr(make_model(), method)(IMAGES, IDS, batch_size=size, verbose=0)
    with pytest.raises(ValueError, match="num_examples must be a whole number. Received: 24.0"):
        and_tf.AND(dense_encoder(keras.layers.UnitNormalization()), 24.0)


def test_an_encoder_with_nothing_to_train_is_refused():
    model = make_model()
    model.encoder.trainable = False
    with pytest.raises(ValueError, match="nothing to train.* 2 weights, all of them frozen"):
        model.fit(IMAGES, IDS, verbose=0)


def test_a_layer_as_augmentation_is_refused_with_its_place():
    encoder = dense_encoder(keras.layers.UnitNormalization())
    with pytest.raises(ValueError, match="Keras layer into the encoder.* Received: RandomFlip"):
        and_tf.AND(encoder, N, augment=keras.layers.RandomFlip())
