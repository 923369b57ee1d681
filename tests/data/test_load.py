from __future__ import annotations

import ast
import pathlib

import pytest
from PIL import Image

import and_tf.data
from and_tf.data import ImageSet, load


def test_digits():
    train, test = load("digits")
    assert isinstance(train, ImageSet) and isinstance(test, ImageSet)
    assert train.num_examples == 1437


def test_folder(tmp_path):
    for index in range(4):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{index}.png")
    train, test = load("folder", path=str(tmp_path), image_size=5, test_fraction=0.25)
    assert (train.num_examples, test.num_examples) == (3, 1)
    assert train.image_shape == (5, 5, 3)


def test_tfds(shared_tfds):
    train, test = load(
        "tfds", name="cifar10", data_dir=str(shared_tfds), train_split="test[:7]", test_split=None
    )
    assert train.num_examples == 7 and test is None


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"source": "files"}, '"digits", "tfds" or "folder". Received: \'files\''),
        ({"source": "tfds"}, '"tfds" needs `name`. Received: None'),
        ({"source": "folder"}, '"folder" needs `path`. Received: None'),
        ({"source": "digits", "image_size": 0}, "image_size.*Received: 0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        load(**arguments)


def test_importing_the_room_imports_no_source():
    heavy = {"PIL", "sklearn", "tensorflow_datasets"}
    for module in pathlib.Path(and_tf.data.__file__).parent.glob("*.py"):
        for node in ast.parse(module.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not heavy & {name.split(".")[0] for name in names}, module.name
