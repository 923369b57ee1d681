from __future__ import annotations

import dataclasses
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from and_tf import data, encoders
from and_tf.exporting.rows import Rows, embed_rows, load_image_sets, with_labels
from and_tf.runs.config import load_config


@pytest.fixture(scope="module")
def encoder() -> keras.Model:
    return encoders.conv4((16, 16, 3), embedding_dim=4, width=0.1)


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for name in ("cats/1.png", "cats/2.png", "dogs/1.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (20, 24, 3), np.uint8)).save(path)
    return tmp_path / "images"


def config(*overrides: str):
    return load_config(None, overrides)


@pytest.mark.parametrize(
    ("which", "sizes"), [("train", [1437]), ("test", [360]), ("all", [1437, 360]), ("none", [])]
)
def test_the_sets_of_a_run(which, sizes):
    assert [len(images) for images in load_image_sets(config(), which, (16, 16, 3))] == sizes


def test_rows_are_embeddings_of_the_images_as_they_are(encoder):
    train, test = data.load("digits")
    rows = embed_rows(encoder, [train, test], 256)
    images = np.concatenate([train.images, test.images])
    np.testing.assert_allclose(rows.embeddings, encoder.predict(images, verbose=0), atol=1e-6)
    np.testing.assert_array_equal(rows.labels, np.concatenate([train.labels, test.labels]))
    assert rows.class_names == [str(digit) for digit in range(10)]
    assert rows.sources[0] == "digits/train:0" and rows.sources[-1] == "digits/test:359"
    assert len(rows) == rows.num_labelled == 1797


def test_any_folder_can_make_the_rows(encoder, folder):
    rows = embed_rows(encoder, load_image_sets(config(), str(folder), (16, 16, 3)), 256)
    assert rows.sources == ["cats/1.png", "cats/2.png", "dogs/1.png"]
    assert rows.class_names == ["cats", "dogs"] and rows.labels.tolist() == [0, 0, 1]


def test_no_rows(encoder):
    rows = embed_rows(encoder, [], 256)
    assert len(rows) == rows.num_labelled == 0 and rows.embeddings.shape == (0, 4)


def test_images_that_broke_are_left_out(encoder, folder):
    overrides = ["data.source=folder", f"data.path={folder}", "data.image_size=16"]
    streamed = config("data.in_memory=false", *overrides)
    sets = load_image_sets(streamed, "train", (16, 16, 3))
    (folder / "cats/2.png").write_bytes(b"broken")
    with pytest.warns(UserWarning, match="cannot be read"):
        rows = embed_rows(encoder, sets, 256)
    assert rows.sources == ["cats/1.png", "dogs/1.png"] and rows.labels.tolist() == [0, 1]


def test_only_what_is_asked_for_must_be_there(folder):
    gone = folder.parent / "gone"
    overrides = ["data.source=folder", f"data.path={folder}", f"data.test_path={gone}"]
    run = config("data.image_size=16", *overrides)
    assert len(load_image_sets(run, "train", (16, 16, 3))) == 1
    with pytest.raises(ValueError, match="does not exist"):
        load_image_sets(run, "all", (16, 16, 3))


def test_refuses_what_cannot_be_rows(folder):
    with pytest.raises(ValueError, match="no held-out images"):
        run = config("data.source=folder", f"data.path={folder}", "data.image_size=16")
        load_image_sets(run, "test", (16, 16, 3))
    with pytest.raises(
        ValueError, match="takes images of 32 x 32 pixels. Received: 'digits/train'"
    ):
        load_image_sets(config(), "train", (32, 32, 3))
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match="does not exist"):
        load_image_sets(config(), str(folder), (16, 16, 3))


ROWS = Rows(np.eye(3, dtype=np.float32), np.array([0, -1, -1], np.int32), ["b"], ["1", "2", "3"])


def test_labels_from_a_file(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("file,label\n2,a\n./3,b\nelsewhere,c\n")
    rows = with_labels(ROWS, file)
    assert rows.class_names == ["b", "a"] and rows.labels.tolist() == [0, 1, 0]
    file.write_text("file,label\n1,z\n")  # wins over the label that is there
    rows = with_labels(ROWS, file)
    assert rows.class_names == ["b", "z"] and rows.labels.tolist() == [1, -1, -1]
    assert rows.num_labelled == 1


def test_refuses_labels_of_other_rows(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("file,label\nx,a\n")
    with pytest.raises(ValueError, match="name no row. Received: 'x', where a row is called '1'"):
        with_labels(ROWS, file)
    with pytest.raises(ValueError, match="no rows to label"):
        with_labels(dataclasses.replace(ROWS, sources=[], labels=np.zeros(0, np.int32)), file)
