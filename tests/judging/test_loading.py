from __future__ import annotations

import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

from and_tf import data
from and_tf.errors import RunError
from and_tf.exporting.trained_encoder import load_encoder
from and_tf.judging.loading import load_subject
from and_tf.judging.subject import Part
from and_tf.runs.config import load_config
from and_tf.runs.run_directory import RunDirectory


def rows(count: int = 6, dim: int = 4) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, dim)).astype(np.float32)


def save(path: pathlib.Path, **arrays: np.ndarray) -> pathlib.Path:
    np.savez(path, **arrays)
    return path


def test_a_run(trained_run):
    subject = load_subject(trained_run)
    assert (subject.kind, subject.name, subject.epochs) == ("run", "digits", 6)
    train, test = subject.train, subject.test
    assert train.embeddings.shape == (1437, 16) and test.embeddings.shape == (360, 16)
    np.testing.assert_allclose(np.linalg.norm(train.features, axis=1), 1, rtol=1e-5)
    assert subject.class_names == [str(digit) for digit in range(10)]
    assert subject.bank.shape == (1437, 16)
    np.testing.assert_array_equal(train.images([3, 0]), train.image_set.images[[3, 0]])

    run = RunDirectory(trained_run)
    encoder = load_encoder(run, load_config(run.config))
    wanted = encoder.predict(test.image_set.images, verbose=0)
    np.testing.assert_allclose(test.embeddings, wanted, atol=1e-5)
    features = keras.Model(encoder.input, encoder.get_layer("embedding").input)
    wanted = features.predict(test.image_set.images, verbose=0)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(test.features, wanted, atol=1e-5)


def test_a_model_file_takes_the_config_of_the_run_around_it(trained_run):
    found = load_subject(trained_run / "model.keras")
    run = load_subject(trained_run)
    np.testing.assert_allclose(found.test.embeddings, run.test.embeddings, atol=1e-5)
    assert found.kind == "model" and found.bank is None


def test_an_encoder_alone_needs_a_config(trained_run, tmp_path):
    path = tmp_path / "encoder.keras"
    keras.models.load_model(trained_run / "model.keras").encoder.save(path)
    with pytest.raises(RunError, match="--config FILE"):
        load_subject(path)
    found = load_subject(path, overrides=["data.source=digits"])
    assert len(found.train) == 1437 and found.test.labels is not None


def test_an_export(exported, trained_run):
    found, run = load_subject(exported), load_subject(trained_run)
    assert found.test is None and found.kind == "export"
    np.testing.assert_allclose(found.train.embeddings, run.train.embeddings, atol=1e-5)
    np.testing.assert_array_equal(found.train.labels, run.train.labels)
    assert found.class_names == run.class_names
    with_images = load_subject(exported, overrides=["data.source=digits"])
    np.testing.assert_allclose(with_images.test.embeddings, run.test.embeddings, atol=1e-5)
    np.testing.assert_array_equal(with_images.test.labels, run.test.labels)


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_a_file_of_embeddings(tmp_path, ending):
    path = tmp_path / f"some{ending}"
    labels, sources = ["cat", "", "dog", "cat", "", "dog"], [f"{i}.png" for i in range(6)]
    if ending == ".npz":
        save(path, embedding=rows(), label=np.array(labels), source=np.array(sources))
    else:
        import pyarrow
        from pyarrow import parquet

        columns = {
            "embedding": rows().tolist(),
            "label": [label or None for label in labels],
            "source": sources,
        }
        parquet.write_table(pyarrow.table(columns), path)
    found = load_subject(path)
    assert found.kind == "embeddings" and found.test is None
    assert list(found.class_names) == ["cat", "dog"]
    np.testing.assert_array_equal(found.train.labels, [0, -1, 1, 0, -1, 1])
    expected = rows() / np.linalg.norm(rows(), axis=1, keepdims=True)
    np.testing.assert_allclose(found.train.embeddings, expected, rtol=1e-6)
    assert list(found.train.sources) == sources
    with pytest.raises(ValueError, match="no images"):
        found.train.images([0])


def test_held_out_embeddings_share_the_numbers_of_the_classes(tmp_path):
    train = save(tmp_path / "train.npz", embedding=rows(), label=np.array([7, 7, 9, 9, 7, 9]))
    test = save(tmp_path / "test.npz", embedding=rows(2), label=np.array([9, 11]))
    found = load_subject(train, test=test)
    assert list(found.class_names) == ["7", "9", "11"]
    np.testing.assert_array_equal(found.test.labels, [1, 2])
    assert load_subject(train).test is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"vector": rows()}, "must hold `embedding`"),
        ({"embedding": rows()[0]}, r"must be numbers \[n, d\]"),
        ({"embedding": rows(), "label": np.zeros(5, int)}, "one value for each of 6"),
        ({"embedding": rows(), "label": np.zeros(6)}, "integers or strings"),
        ({"embedding": np.where(rows() > 0, rows(), np.nan)}, "not finite"),
        ({"embedding": rows() * 0}, "6 of 6 rows of x.npz are all zeros, such as row 0"),
    ],
)
def test_refuses_other_embeddings(tmp_path, arrays, message):
    with pytest.raises(RunError, match=message) as raised:
        load_subject(save(tmp_path / "x.npz", **arrays))
    assert "\n" not in str(raised.value)


def test_refuses_what_is_nothing_to_judge(tmp_path, trained_run):
    with pytest.raises(RunError, match="no such file"):
        load_subject(tmp_path / "none")
    with pytest.raises(RunError, match="no run directory"):
        load_subject(tmp_path)
    for name in ("x.npz", "x.parquet", "x.keras"):
        (tmp_path / name).write_text("not one")
        options = {"overrides": ["data.source=digits"]} if name == "x.keras" else {}
        with pytest.raises(RunError, match="cannot be read"):
            load_subject(tmp_path / name, **options)
    with pytest.raises(RunError, match="leave --config out"):
        load_subject(trained_run, config="x.json")


def test_refuses_images_of_another_size(trained_run):
    with pytest.raises(RunError, match="takes images of 16 x 16"):
        load_subject(trained_run / "model.keras", overrides=["data.image_size=20"])


def test_refuses_an_export_without_rows(exported, tmp_path):
    folder = tmp_path / "1"
    (folder / "assets.extra").mkdir(parents=True)
    description = json.loads((exported / "assets.extra/and_tf.json").read_text())
    text = json.dumps(description | {"num_rows": 0})
    (folder / "assets.extra/and_tf.json").write_text(text)
    with pytest.raises(RunError, match="no rows to judge"):
        load_subject(folder)


def test_images_of_a_set_that_streams():
    from and_tf.data.in_memory import from_arrays

    pixels = np.arange(130, dtype=np.uint8)[:, None, None, None] * np.ones((1, 5, 5, 3), np.uint8)
    images = from_arrays(pixels)
    images.images = None
    part = Part("some", rows(100), None, [], image_set=images, rows=np.arange(30, 130))
    np.testing.assert_array_equal(part.images([70, 2, 70])[:, 0, 0, 0], [100, 32, 100])


def test_the_fingerprint_tells_subjects_apart(tmp_path):
    one = load_subject(save(tmp_path / "x.npz", embedding=rows()))
    same = load_subject(save(tmp_path / "y.npz", embedding=rows()))
    assert one.fingerprint() == same.fingerprint()
    other = dataclasses.replace(one, test=one.train)
    assert other.fingerprint() != one.fingerprint()


def test_few_files_of_a_set_that_streams_are_read_alone(tmp_path):
    for number in range(130):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number:03}.png")
    images, _ = data.load("folder", path=str(tmp_path), image_size=8, in_memory=False)
    decoded = []
    load = images._load_or_grey
    images._load_or_grey = lambda index, box_of=None: decoded.append(index) or load(index, box_of)
    part = Part("files", rows(129), None, images.sources, image_set=images, rows=np.arange(1, 130))
    np.testing.assert_array_equal(part.images([127, 2, 127])[:, 0, 0, 0], [128, 3, 128])
    assert 0 not in decoded  # those before are passed over
    many = list(range(129)) * 2
    np.testing.assert_array_equal(part.images(many)[:, 0, 0, 0], np.array(many) + 1)
