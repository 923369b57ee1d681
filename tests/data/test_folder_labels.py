from __future__ import annotations

import pytest

from and_tf.data.folder_labels import (
    labels_from_csv,
    labels_from_subfolders,
    match_names,
    splits_among,
)


def test_first_folder_is_the_class():
    files = ["cat/1.png", "cat/old/2.png", "dog/1.png"]
    assert labels_from_subfolders(files) == dict(zip(files, ["cat", "cat", "dog"], strict=True))


@pytest.mark.parametrize(
    "files", [["1.png", "2.png"], ["cat/1.png", "dog/1.png", "3.png"], ["cat/1.png", "cat/2.png"]]
)
def test_no_classes(files):
    assert labels_from_subfolders(files) == {}


@pytest.mark.parametrize(
    "text",
    [
        "file,label\na/1.png,cat\nb.png,dog\n",
        "\ufefffile,label\r\na/1.png,cat\r\nb.png,dog\r\n",
        'label,split,file\n"cat",x,./a/1.png\ndog ,y, b.png\n\n',
        "file, label\na/1.png,cat\nb.png,dog\n",
        "file,label\na\\1.png,cat\nb.png,dog\nb.png,dog\n",
    ],
)
def test_csv(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8", newline="")
    found, lost = match_names(labels_from_csv(path), ["a/1.png", "b.png", "c.png"])
    assert found == {"a/1.png": "cat", "b.png": "dog"} and not lost


def test_names_of_splits():
    splits = ["train", "Val", "test2017", "training_set", "validation", "test-images", "held-out"]
    assert splits_among([*splits, "trains", "testudo", "cat", "valley", "device", "2017"]) == splits


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "columns file,label. Received: an empty file"),
        ("name,label\n", "columns file,label. Received: name,label"),
        ("file;label\n1.png;cat\n", "Received: file;label"),
        ("file,label\n", "list no images"),
        ("file,label\n1.png\n", "line 2: file and label must be given"),
        ("file,label\n1.png,cat\n,dog\n", "line 3: file and label must be given"),
        ("file,label\n1.png,cat\n1.png,dog\n", "line 3: '1.png' has two labels"),
        ('file,label\n"1.png,cat\n', "not a CSV file"),
    ],
)
def test_wrong_csv(tmp_path, content, message):
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        labels_from_csv(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_text(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(b"PK\x03\x04\xff\xfe\x00\x00")
    with pytest.raises(ValueError, match=r"labels\.csv"):
        labels_from_csv(path)


def test_missing_csv(tmp_path):
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        labels_from_csv(tmp_path / "labels.csv")
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        labels_from_csv(tmp_path)


def test_names_that_are_not_utf8(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(b"file,label\ncaf\xe9.png,cup\n")
    assert labels_from_csv(path) == {"caf\udce9.png": "cup"}
