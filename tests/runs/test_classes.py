"""What a run says of its classes."""

from __future__ import annotations

import numpy as np
import pytest

from and_tf.data import InMemoryImageSet, from_arrays
from and_tf.runs import classes
from and_tf.runs.classes import class_line, describe_classes
from and_tf.runs.config import load_config

CONFIG = load_config(None, ["evaluation.knn_neighbours=1"])
FOLDER = load_config(
    None, ["data.source=folder", "data.path=photos", "evaluation.knn_neighbours=1", "name=mine"]
)


def arrays(labels: list | None) -> InMemoryImageSet:
    return from_arrays(np.zeros((len(labels or [0]), 2, 2, 3), np.uint8), labels)


def files(*sources: str, labelled: bool = True) -> InMemoryImageSet:
    pixels = np.zeros((len(sources), 2, 2, 3), np.uint8)
    names, labels = np.unique([source.split("/")[0] for source in sources], return_inverse=True)
    of_classes = {"labels": labels, "class_names": names.tolist()} if labelled else {}
    return InMemoryImageSet("photos", pixels, sources=sources, labelled_by="folders", **of_classes)


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch):
    monkeypatch.setattr(classes, "FEW", 0)


def test_few_images_to_classify_are_said(monkeypatch):
    monkeypatch.setattr(classes, "FEW", 50)
    assert (
        "each classified image is 25.0%" in describe_classes(CONFIG, arrays([0, 0, 1, 1]), None)[1]
    )
    assert len(describe_classes(CONFIG, arrays([0, 1] * 25), None)) == 1
    assert len(describe_classes(CONFIG, arrays(None), None)) == 1


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (["b", "a", "b"], "2 classes (a 1, b 2), from the arrays"),
        (["b", "", "b"], "1 class (b 2), from the arrays; 1 of 3 images have no label"),
        ([9, 7], "2 classes (7 1, 9 1), from the arrays"),
        (
            [*range(7), 6],
            "7 classes (0 1, 1 1, 2 1, 3 1, 4 1 and 2 more, all of 1 to 2 images), from the arrays",
        ),
        (["a\nb"], r"1 class (a\nb 1), from the arrays"),
        ([-1], "no classes, the images have no labels"),
        (None, "no classes, the images have no labels"),
    ],
)
def test_one_line_says_which_classes_there_are(labels, line):
    assert class_line(arrays(labels)) == line
    assert describe_classes(CONFIG, arrays(labels), None)[0] == f"digits: {line}"


@pytest.mark.parametrize(
    ("sources", "labelled", "parts"),
    [
        (
            ("train/cat/1", "val/cat/1", "val/dog/1"),
            True,
            ("train, val in photos look like splits", "data.path=photos/train ", "data.test_path=photos/val.",
             "data.labels=folders"),
        ),
        (("train/cat/1", "train/dog/1"), False, ("train in photos looks like a split", "=photos/train. ")),
        (("Test/1", "cat/1", "train/1"), True, ("those in 1 other folders", "=photos/train ", "=photos/Test.")),
        (("cat/1", "2"), False, ("(cat) are not taken for classes: 1 images lie outside",)),
        (("cat/1", "cat/2"), False, ("(cat) are not taken for classes: there is only one",)),
        (("cat/train/1", "cat/val/2", "dog/train/3"), True, ("inside the classes", "train, val")),
    ],
)  # fmt: skip
def test_folders_that_may_be_meant_otherwise_are_asked_about(sources, labelled, parts):
    line, warning, *_ = describe_classes(FOLDER, files(*sources, labelled=labelled), None)
    assert line.startswith("mine: ") and warning.startswith("warning: ")
    for part in parts:
        assert part in warning


@pytest.mark.parametrize("labels", ["folders", "none", "labels.csv"])
def test_who_says_what_the_folders_are_is_not_asked(labels):
    config = load_config(
        None,
        [
            "data.source=folder",
            "data.path=photos",
            f"data.labels={labels}",
            "evaluation.knn_neighbours=1",
        ],
    )
    assert len(describe_classes(config, files("train/1", "val/2"), None)) == 1
    assert len(describe_classes(FOLDER, files("cat/1", "dog/2"), None)) == 1


@pytest.mark.parametrize(
    ("train", "test", "parts"),
    [
        (
            ["cat", "dog"],
            ["Cat", "dog", "horse", "horse"],
            (
                "2 of 3 classes",
                "Cat, horse",
                "3 of 4 test images count as wrong",
                "25.0% at most",
                "Is it Cat for cat?",
            ),
        ),
        (["cat"], ["Cat", "dog"], ("2 of 2 classes", "No accuracy is measured")),
        (["cat", "dog"], ["cat", ""], ("1 test images have no label and are not classified",)),
        (None, ["cat"], ("the test images have labels and no training image has",)),
        (["cat", "dog"], [""], ("the training images have labels and no test image has",)),
    ],
)
def test_what_cannot_be_classified_is_said(train, test, parts):
    names = ("Cat", "cat", "dog", "horse")
    sets = []
    for labels in (train, test):
        numbers = labels and [names.index(label) if label else -1 for label in labels]
        pixels = np.zeros((len(labels or [0]), 2, 2, 3), np.uint8)
        numbers = None if numbers is None else np.array(numbers)
        sets.append(InMemoryImageSet("photos", pixels, labels=numbers, class_names=names))
    (warning,) = describe_classes(CONFIG, *sets)[1:]
    for part in parts:
        assert part in warning


@pytest.mark.parametrize(
    ("neighbours", "test", "part"),
    [
        (5, None, "is 5, more than have a label: K is 4"),
        (6, [0], "is 6, more than have a label: K is 5"),
        (2, None, "images of the smallest class, 1, have 1 more of it to vote for them"),
        (3, [0], "images of the smallest class, 1, have 2 of it to vote for them"),
        (1, None, None),
        (2, [0], None),
    ],
)
def test_a_number_of_neighbours_that_is_too_large_is_said(neighbours, test, part):
    config = load_config(None, [f"evaluation.knn_neighbours={neighbours}"])
    warnings = describe_classes(config, arrays([0, 0, 0, 1, 1]), test and arrays(test))[1:]
    assert len(warnings) == (part is not None) and (part is None or part in warnings[0])


def test_images_alone_in_their_class_are_said():
    config = load_config(None, ["evaluation.knn_neighbours=1"])
    warnings = describe_classes(config, arrays([0, 0, 0, 1]), None)[1:]
    assert "1 of 4 labelled images are alone in their class" in warnings[0]
    assert warnings[0].endswith("the accuracy is 75.0% at most")
    assert len(describe_classes(config, arrays([0, 1, 2, 3]), None)) == 1  # there is no accuracy
