from __future__ import annotations

import hashlib
import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from and_tf.data.folder import load_folder


def colour_of(name: str) -> tuple[int, int, int]:
    return tuple(os.fsencode(name).ljust(3)[-3:])


def make(folder, *names: str, size: tuple[int, int] = (8, 6)):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour_of(name)).save(folder / name, format="PNG")
    return folder


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def check_pixels(image_set):
    for image, source in zip(image_set.images, image_set.sources, strict=True):
        assert (image == colour_of(source)).all(), source


def test_flat_and_unlabelled(tmp_path):
    train, test = load_folder(make(tmp_path / "photos", "b1", "a2", "c0"))
    assert test is None
    assert train.name == "photos"
    assert train.sources == ("a2", "b1", "c0")
    assert train.image_shape == (6, 8, 3)
    assert train.labels is None and train.class_names is None and train.skipped == ()
    check_pixels(train)


def test_classes_from_subfolders(tmp_path):
    train, _ = load_folder(make(tmp_path, "dog/b", "cat/x/y", "cat/a", "emu/q"))
    assert train.sources == ("cat/a", "cat/x/y", "dog/b", "emu/q")
    assert train.class_names == ("cat", "dog", "emu")
    np.testing.assert_array_equal(train.labels, [0, 0, 1, 2])
    assert train.labels.dtype == np.int64


def test_streaming_equals_memory(tmp_path):
    make(tmp_path, "cat/a", "dog/b", "dog/c", size=(80, 70))
    for image_size in (None, 20, 64):
        memory, _ = load_folder(tmp_path, image_size=image_size, in_memory=True)
        stream, _ = load_folder(tmp_path, image_size=image_size, in_memory=False)
        assert stream.images is None
        images = np.concatenate(list(stream.ordered_batches(2)))
        np.testing.assert_array_equal(images, memory.images)
        np.testing.assert_array_equal(stream.labels, memory.labels)
        assert stream.sources == memory.sources


def test_bad_files_are_left_out_with_their_reason(tmp_path):
    make(tmp_path, "cat/a", "dog/b", "dog/truncated", "dog/c")
    truncate(tmp_path / "dog/truncated")
    (tmp_path / "dog/empty.jpg").touch()
    (tmp_path / "dog/notes.txt").write_text("not an image")
    (tmp_path / "cat/.hidden").touch()
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant/broken.png").symlink_to("nowhere")
    train, _ = load_folder(tmp_path)
    assert train.sources == ("cat/a", "dog/b", "dog/c")
    assert train.class_names == ("cat", "dog")
    np.testing.assert_array_equal(train.labels, [0, 1, 1])
    check_pixels(train)
    assert [name for name, _ in train.skipped] == [
        "ant/broken.png", "cat/.hidden", "dog/empty.jpg", "dog/notes.txt", "dog/truncated"
    ]  # fmt: skip
    assert all(reason for _, reason in train.skipped)


def test_labels_from_csv(tmp_path):
    folder = make(tmp_path / "photos", "1", "2", "3", "4")
    (folder / "bad").touch()
    (folder / "labels.csv").write_text("file,label\n3,dog\n1,cat\n4,dog\nbad,cat\nlost,cat\n")
    train, _ = load_folder(folder, labels=folder / "labels.csv")
    assert train.sources == ("1", "2", "3", "4")
    assert train.class_names == ("cat", "dog")
    np.testing.assert_array_equal(train.labels, [0, -1, 1, 1])
    assert train.skipped == (("bad", "the file is empty"),)
    assert train.missing == ("lost",) and train.labelled_by == "labels.csv"


@pytest.mark.parametrize("written, listed", [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFKD")])
def test_csv_names_match_in_any_unicode_form(tmp_path, written, listed):
    name = unicodedata.normalize(written, "grün/Übung é ﬁ.png")
    folder = make(tmp_path / "photos", name, "b.png")
    names = [unicodedata.normalize(listed, name), "b.png"]
    labels = tmp_path / "labels.csv"
    # Labels in several forms are one class.
    labels.write_text(f"file,label\n{names[0]},café\n{names[1]},cafe\u0301\n")
    for in_memory in (True, False):
        train, _ = load_folder(folder, labels=labels, image_size=8, in_memory=in_memory)
        assert train.labels.tolist() == [0, 0] and train.class_names == ("café",)
        assert train.missing == ()


def test_csv_names_match_as_they_are_printed(tmp_path):
    folder = make(
        tmp_path / "photos", "caf\udce9.png", "two\nlines.png", "back\\slash.png", "x/y.png"
    )
    train, _ = load_folder(folder)
    labels = tmp_path / "labels.csv"
    text = "".join(f"{source},{i}\n" for i, source in enumerate(train.sources))
    labels.write_text("file,label\n" + text.replace("x/y", "x\\y"))
    assert load_folder(folder, labels=labels)[0].labels.tolist() == [0, 1, 2, 3]


def test_two_forms_of_one_name_with_two_labels(tmp_path):
    folder = make(tmp_path / "photos", "é.png", "b.png")
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\né.png,cat\ne\u0301.png,dog\n")
    with pytest.raises(ValueError, match="'é.png' has two labels. Received: 'cat'.* and 'dog'"):
        load_folder(folder, labels=labels)


def test_files_whose_names_differ_in_unicode_form_alone(tmp_path):
    forms = ["e\u0301.png", "é.png"]
    folder = make(tmp_path / "photos", *forms)
    labels = tmp_path / "labels.csv"
    labels.write_text(f"file,label\n{forms[0]},cat\n{forms[1]},dog\n")
    train, _ = load_folder(folder, labels=labels)
    assert dict(zip(train.sources, train.labels.tolist())) == {forms[0]: 0, forms[1]: 1}


def test_folders_or_nothing_for_classes(tmp_path):
    folder = make(tmp_path / "photos", "cat/a", "b")
    assert load_folder(folder)[0].labels is None
    train, _ = load_folder(folder, labels="folders")
    assert train.labels.tolist() == [-1, 0] and train.class_names == ("cat",)
    folder = make(tmp_path / "more", "cat/a", "dog/b")
    assert load_folder(folder)[0].labelled_by == "folders"
    assert load_folder(folder, labels="none")[0].labels is None
    with pytest.raises(ValueError, match="Received: .*cat, which has images, but no folders"):
        load_folder(folder / "cat", labels="folders")


def test_a_folder_is_one_class_in_any_unicode_form(tmp_path):
    make(tmp_path / "train", "café/a", "dog/b")
    make(tmp_path / "test", "cafe\u0301/c", "dog/d")
    train, test = load_folder(tmp_path / "train", test_path=tmp_path / "test")
    assert train.class_names == test.class_names == ("café", "dog")


def test_csv_that_names_no_image(tmp_path):
    folder = make(tmp_path / "photos", "1")
    (tmp_path / "labels.csv").write_text("file,label\nphotos/1,cat\n")
    with pytest.raises(ValueError, match="'photos/1', where the folder has '1'"):
        load_folder(folder, labels=tmp_path / "labels.csv")


def test_held_out_folder_shares_the_class_numbers(tmp_path):
    make(tmp_path / "train", "cat/a", "dog/b")
    make(tmp_path / "test", "ant/c", "dog/d")
    train, test = load_folder(tmp_path / "train", test_path=tmp_path / "test")
    assert train.class_names == test.class_names == ("ant", "cat", "dog")
    np.testing.assert_array_equal(train.labels, [1, 2])
    np.testing.assert_array_equal(test.labels, [0, 2])
    assert test.name == "test"


def test_one_csv_for_both_folders(tmp_path):
    make(tmp_path / "train", "a", "b")
    make(tmp_path / "test", "c")
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\na,cat\nb,dog\nc,dog\n")
    train, test = load_folder(tmp_path / "train", test_path=tmp_path / "test", labels=labels)
    np.testing.assert_array_equal(train.labels, [0, 1])
    np.testing.assert_array_equal(test.labels, [1])
    assert train.skipped == test.skipped == ()


def test_held_out_share_is_stratified_and_depends_on_names_alone(tmp_path):
    cats, dogs = [f"cat/{i}" for i in range(20)], [f"dog/{i}" for i in range(10)]
    make(tmp_path, *cats, *dogs)
    train, test = load_folder(tmp_path, test_fraction=0.28)

    def by_hash(name: str) -> bytes:
        return hashlib.sha256(name.encode()).digest()

    expected = sorted(cats, key=by_hash)[:6] + sorted(dogs, key=by_hash)[:3]
    assert list(test.sources) == sorted(expected)
    assert list(train.sources) == sorted(set(cats + dogs) - set(expected))
    np.testing.assert_array_equal(test.labels, [0] * 6 + [1] * 3)
    check_pixels(train)
    check_pixels(test)


@pytest.mark.parametrize("labelled, held", [(1, 0), (2, 1), (3, 1)])
def test_held_out_images_are_taken_from_the_labelled_too(tmp_path, labelled, held):
    folder = make(tmp_path / "photos", *(f"{i:02}" for i in range(20)))
    labels = tmp_path / "labels.csv"
    text = "".join(f"{i:02},cat\n" for i in range(labelled)) + "19,dog\n"
    labels.write_text("file,label\n" + text)
    train, test = load_folder(folder, labels=labels, test_fraction=0.1)
    assert test.name == "photos (held out)"
    assert (test.labels >= 0).sum() == held
    assert (train.labels >= 0).sum() == labelled + 1 - held


def test_held_out_share_without_labels(tmp_path):
    make(tmp_path, *(f"{i}" for i in range(10)))
    train, test = load_folder(tmp_path, test_fraction=0.2)
    assert (train.num_examples, test.num_examples) == (8, 2)
    assert test.labels is None


def test_different_sizes_need_image_size(tmp_path):
    make(tmp_path, "a", "b")
    make(tmp_path, "c", size=(9, 5))
    for in_memory in (True, False):
        with pytest.raises(ValueError, match=r"data.image_size.*a of 8 x 6, c of 9 x 5"):
            load_folder(tmp_path, in_memory=in_memory)
    assert load_folder(tmp_path, image_size=16)[0].images.shape == (3, 16, 16, 3)


def test_wrong_folders(tmp_path):
    with pytest.raises(ValueError, match="does not exist.*missing"):
        load_folder(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="No readable image.*It is empty"):
        load_folder(tmp_path / "empty")
    make(tmp_path, "full/a")
    with pytest.raises(ValueError, match="is not a folder.*full/a"):
        load_folder(tmp_path / "full" / "a")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("nothing to see")
    with pytest.raises(ValueError, match=r"No readable image.*notes.txt \(not an image"):
        load_folder(tmp_path / "text")


def test_contradictions(tmp_path):
    make(tmp_path, "train/a", "train/test/b", "other/c", "other/more/d")
    train = tmp_path / "train"
    with pytest.raises(ValueError, match="not from both"):
        load_folder(train, test_path=tmp_path / "other", test_fraction=0.5)
    for test_path in (train / "test", train):
        with pytest.raises(ValueError, match="must lie apart"):
            load_folder(train, test_path=test_path)
    with pytest.raises(ValueError, match="must lie apart"):
        load_folder(tmp_path / "other" / "more", test_path=tmp_path / "other")
    with pytest.raises(ValueError, match="holds out 0 of 2"):
        load_folder(train, test_fraction=0.1)


def test_nothing_can_be_decoded(tmp_path):
    make(tmp_path, "a")
    truncate(tmp_path / "a")
    with pytest.raises(ValueError, match=r"No readable image.*a \("):
        load_folder(tmp_path)
