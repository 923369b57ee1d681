"""From a config to a model and its batches: where random crops are cut."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from PIL import Image

from and_tf.data import from_arrays, load
from and_tf.data.augment import Augment
from and_tf.data.whole_crop import WholeCrop
from and_tf.runs.assembly import build_model, whole_crop
from and_tf.runs.checkpoints import Position
from and_tf.runs.config import load_config
from and_tf.runs.fitting import training_batches

OPTIONS = [
    "encoder.name=conv4",
    "encoder.width=0.05",
    "train.batch_size=4",
    "encoder.embedding_dim=4",
]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(4):
        rows = np.linspace(0, 255, 96)[:, None] + np.zeros((96, 64))
        Image.fromarray(rows.astype(np.uint8)).save(folder / f"{number}.png")
    return load("folder", path=str(folder), image_size=64)[0]


def test_photographs_are_cut_once_when_they_are_decoded(photographs):
    config = load_config(None, OPTIONS)
    assert whole_crop(config, photographs) == WholeCrop((0.2, 1.0), (3 / 4, 4 / 3))
    model = build_model(config, photographs)
    assert model.augment.crop_scale is None and model.augment.hue == 0.4
    images, indices = next(iter(training_batches(config, model, photographs, Position(0, 0))))
    assert (images.numpy() != photographs.images[indices.numpy()]).any(axis=(1, 2, 3)).all()

    model.augment = Augment()  # of a run that was begun when models cut all images
    images, indices = next(iter(training_batches(config, model, photographs, Position(0, 0))))
    np.testing.assert_array_equal(images, photographs.images[indices.numpy()])


@pytest.mark.parametrize("crop", [True, False])
def test_elsewhere_the_model_cuts(photographs, crop):
    off = [] if crop else ["augment.crop_scale=[1, 1]", "augment.crop_ratio=[1, 1]"]
    images = from_arrays(np.zeros((4, 32, 32, 3), np.uint8)) if crop else photographs
    config = load_config(None, [*OPTIONS, *off])
    assert whole_crop(config, images) is None
    assert build_model(config, images).augment.crop_scale == ((0.2, 1.0) if crop else (1.0, 1.0))


def test_the_default_run_takes_the_steps_that_it_always_took():
    """Recorded before two views, a cosine and the jitter's probability could be chosen."""
    recorded = [
        7.650034, 9.769788, 8.220431, 10.625332, 11.507565, 11.907804, 12.509314, 12.655183,
        12.855982, 13.079347, 13.224204, 13.277845, 10.59643, 10.537364, 11.562946, 11.686123,
        12.08917, 11.915731, 12.140565, 12.590059,
    ]  # fmt: skip
    config = load_config(None)
    keras.utils.set_random_seed(config.seed)
    images, _ = load("digits")
    model = build_model(config, images)
    losses = []
    batches = images.training_batches(config.train.batch_size, config.seed)
    for images_of_step, ids in batches.take(len(recorded)):
        losses.append(model.train_on_batch(images_of_step, ids))
        model.reset_metrics()
    losses = np.ravel(losses)
    # Processors round differently, and the steps amplify it.
    np.testing.assert_allclose(losses[:6], recorded[:6], rtol=1e-3)
    np.testing.assert_allclose(losses, recorded, rtol=0.05)
