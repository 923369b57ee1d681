"""Data sets that give an image another id in each epoch are refused before the first step."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.method.test_model_checks import IDS, IMAGES, N, make_model

images = tf.data.Dataset.from_tensor_slices(IMAGES)
ids = tf.data.Dataset.from_tensor_slices(IDS)


def swapped(id, image):
    return image, id


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number, pixels in enumerate(IMAGES):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


def from_directory(folder, **options):
    read = keras.utils.image_dataset_from_directory
    return read(folder, labels=None, batch_size=None, image_size=(8, 8), verbose=False, **options)


def from_files(folder, **options):
    files = tf.data.Dataset.list_files(str(folder / "*"), **options)
    return files.map(lambda file: tf.io.decode_png(tf.io.read_file(file), 3))


WRONG = {
    "shuffled": lambda folder: images.shuffle(N).enumerate().map(swapped),
    "zipped": lambda folder: tf.data.Dataset.zip((images.cache().shuffle(N), ids)).prefetch(1),
    "a directory": lambda folder: from_directory(folder).enumerate().map(swapped),
    "files": lambda folder: from_files(folder).enumerate().map(swapped),
}
RIGHT = {
    "shuffled afterwards": lambda folder: images.enumerate().map(swapped).shuffle(N),
    "shuffled once": lambda folder: (
        images.shuffle(N, reshuffle_each_iteration=False).enumerate().map(swapped)
    ),
    "pairs": lambda folder: tf.data.Dataset.zip((images, ids)).shuffle(N),
    "shuffled alike": lambda folder: tf.data.Dataset.zip(
        (images.shuffle(N, seed=1), ids.shuffle(N, seed=1))
    ),
    "a directory": lambda folder: from_directory(folder, shuffle=False).enumerate().map(swapped),
    "files": lambda folder: from_files(folder, shuffle=False).enumerate().map(swapped),
}


@pytest.mark.parametrize("way", WRONG)
def test_what_shuffles_before_it_numbers_is_refused(way, folder):
    model = make_model()
    with pytest.raises(ValueError, match="gives an id to another image in each epoch.* the first"):
        model.fit(WRONG[way](folder).batch(12), verbose=0)
    assert model.examples_seen == 0


@pytest.mark.parametrize("way", RIGHT)
def test_what_keeps_its_ids_trains(way, folder):
    model = make_model()
    model.fit(RIGHT[way](folder).batch(12), shuffle=False, verbose=0)
    np.testing.assert_array_equal(model.times_seen, np.ones(N))
