from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from and_tf.data.folder import load_folder
from and_tf.data.streamed_files import GREY


@pytest.fixture
def folder(tmp_path):
    for index in range(6):
        Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / f"{index}.png")
    return tmp_path


def collect(image_set) -> np.ndarray:
    return np.concatenate(list(image_set.ordered_batches(4)))


@pytest.mark.parametrize("image_size", [None, 4])
def test_a_file_that_fails_later_becomes_grey_and_is_reported_once(folder, image_size):
    image_set, _ = load_folder(folder, image_size=image_size, in_memory=False)
    assert image_set.skipped == ()
    (folder / "2.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="2.png cannot be read.*empty") as caught:
        images = collect(image_set)
    assert len(caught) == 1
    np.testing.assert_array_equal(images[:, 0, 0, 0], [0, 1, GREY, 3, 4, 5])
    assert (images[2] == GREY).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for batch, index in image_set.training_batches(4, seed=0).take(4).as_numpy_iterator():
            np.testing.assert_array_equal(batch, images[index])
    assert image_set.skipped == (("2.png", "the file is empty"),)


def test_a_file_that_changes_its_size(folder):
    image_set, _ = load_folder(folder, in_memory=False)
    Image.new("RGB", (9, 8)).save(folder / "5.png")
    with pytest.warns(UserWarning, match="5.png"):
        assert (collect(image_set)[5] == GREY).all()


def test_the_batches_of_others_are_not_decoded(folder):
    image_set, _ = load_folder(folder, in_memory=False)
    (folder / "2.png").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        share = list(image_set.ordered_batches(2, (0, 2)).as_numpy_iterator())
    np.testing.assert_array_equal(np.concatenate(share)[:, 0, 0, 0], [0, 1, 4, 5])


def test_skipped_batches_are_not_decoded(folder):
    image_set, _ = load_folder(folder, in_memory=False)
    order = [
        index for _, index in image_set.training_batches(1, seed=0).take(6).as_numpy_iterator()
    ]
    (folder / f"{order[0][0]}.png").unlink()
    rest = image_set.training_batches(1, seed=0, first_step=1).take(5).as_numpy_iterator()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # An attempt to read the missing file would end the stream.
        assert [index for _, index in rest] == order[1:]
