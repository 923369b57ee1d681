from __future__ import annotations

import math
import warnings

import keras
import numpy as np
import pytest

import and_tf
from and_tf.encoders.blocks import IMAGENET_MEAN, IMAGENET_STD

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)


def small_backbone(*before: keras.layers.Layer, momentum: float = 0.999) -> keras.Model:
    inner = keras.Sequential(
        [keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(momentum=momentum)]
    )
    return keras.Sequential(
        [keras.Input((16, 16, 3)), *before, inner, keras.layers.ReLU()], name="small"
    )


def momenta(model: keras.Model) -> set[float]:
    return {
        layer.momentum
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    }


def test_a_backbone_of_keras_applications_gets_another_momentum():
    backbone = keras.applications.MobileNet((32, 32, 3), 0.25, weights=None, include_top=False)
    assert momenta(backbone) == {0.99}
    encoder = and_tf.encoders.from_backbone(backbone, embedding_dim=8)
    assert momenta(encoder) == {0.9} and encoder.name == "mobilenet_0.25_32_encoder"


def test_a_backbone_becomes_an_encoder_that_trains_and_is_saved(tmp_path):
    model = and_tf.AND(and_tf.encoders.from_backbone(small_backbone(), embedding_dim=8), 12)
    model.compile(and_tf.SGD())
    model.fit(IMAGES, np.arange(12), verbose=0)
    embeddings = model.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(IMAGES, verbose=0), embeddings)
    assert momenta(loaded.encoder) == {0.9}


def test_pixels_are_normalised_unless_the_backbone_does_it():
    backbone = small_backbone()
    encoder = and_tf.encoders.from_backbone(backbone, 8)
    features = encoder.get_layer("small").output
    pixels = (IMAGES / 255 - IMAGENET_MEAN) / IMAGENET_STD
    found = keras.Model(encoder.input, encoder.get_layer("pool").output)(IMAGES)
    assert features.shape == (None, 14, 14, 4)
    np.testing.assert_allclose(found, np.mean(backbone(pixels), axis=(1, 2)), atol=1e-5)
    for backbone, options in (
        (small_backbone(keras.layers.Rescaling(1 / 255)), {}),
        (small_backbone(), {"normalise": False}),
    ):
        encoder = and_tf.encoders.from_backbone(backbone, 8, **options)
        found = keras.Model(encoder.input, encoder.get_layer("pool").output)(IMAGES)
        np.testing.assert_allclose(found, np.mean(backbone(IMAGES), axis=(1, 2)), atol=1e-5)


def test_a_smaller_momentum_stays():
    backbone = small_backbone(momentum=0.5)
    and_tf.encoders.from_backbone(backbone)
    assert momenta(backbone) == {0.5}


@pytest.mark.parametrize("shape, dim", [((5,), 5), ((4, 5), 5), ((2, 2, 5), 5)])
def test_features_of_any_rank_are_pooled(shape, dim):
    backbone = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(math.prod(shape)),
         keras.layers.Reshape(shape)]
    )  # fmt: skip
    encoder = and_tf.encoders.from_backbone(backbone, 8)
    assert encoder.get_layer("embedding").input.shape == (None, dim)
    assert encoder.output_shape == (None, 8)


def test_other_backbones_are_refused():
    def refused(backbone: keras.Model, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            and_tf.encoders.from_backbone(backbone)

    grey = keras.Input((8, 8, 1))
    refused(keras.Model(grey, keras.layers.Flatten()(grey)), r"input shape \(None, 8, 8, 1\)")
    pixels = keras.Input((8, 8, 3))
    levels = {"P1": pixels, "P2": keras.layers.ReLU()(pixels)}
    refused(keras.Model(pixels, levels), r"Received: output shape \[")


def test_a_backbone_that_names_its_images_is_called_as_it_wants():
    pixels = keras.Input((8, 8, 3), name="images")  # as vision encoders of KerasHub
    backbone = keras.Model({"images": pixels}, keras.layers.Conv2D(4, 3)(pixels))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = and_tf.encoders.from_backbone(backbone, 8)
        assert encoder.predict(IMAGES[:2, :8, :8], verbose=0).shape == (2, 8)
