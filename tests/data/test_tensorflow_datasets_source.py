from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from and_tf.data.resizing import cut_array, resize_array
from and_tf.data.tensorflow_datasets_source import load_tensorflow_datasets
from and_tf.data.whole_crop import WholeCrop

TRAIN, TEST = 11, 4


def photo(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (70 + index, 90, 3), np.uint8)


class VariedPhotos(tfds.core.GeneratorBasedBuilder):
    """Photographs of different sizes in several files, with features nobody asks for."""

    VERSION = tfds.core.Version("1.2.3")

    def _info(self):
        features = {
            "image": tfds.features.Image(encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["ant", "bee"]),
            "mask": tfds.features.LabeledImage(labels=3, shape=(None, None, 1)),
            "kind": tfds.features.ClassLabel(num_classes=7),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, TRAIN), "test": self._examples_of_test()}

    def _examples_of_test(self):
        return self._generate_examples(TRAIN, TRAIN + TEST)

    def _generate_examples(self, first, last):
        for index in range(first, last):
            mask = np.zeros((5, 5, 1), np.uint8)
            yield index, {"image": photo(index), "label": index % 2, "mask": mask, "kind": 3}


class OnlyText(tfds.core.GeneratorBasedBuilder):
    """A data set without images."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
        return self.dataset_info_from_configs(features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"text": "hello"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("tfds"))
    config = tfds.download.DownloadConfig(num_shards=3)
    VariedPhotos(data_dir=folder).download_and_prepare(download_config=config)
    OnlyText(data_dir=folder).download_and_prepare()
    return folder


def test_varied_photos_from_several_files(data_dir):
    memory, test = load_tensorflow_datasets("varied_photos", data_dir=data_dir, image_size=64)
    stream, _ = load_tensorflow_datasets(
        "varied_photos", data_dir=data_dir, image_size=64, in_memory=False
    )
    assert (memory.num_examples, test.num_examples) == (TRAIN, TEST)
    assert memory.class_names == stream.class_names == ("ant", "bee")
    assert memory.name == "varied_photos/train"
    assert stream.images is None
    np.testing.assert_array_equal(stream.labels, memory.labels)
    assert sorted(memory.labels) == [0] * 6 + [1] * 5
    images = np.concatenate(list(stream.ordered_batches(4)))
    np.testing.assert_array_equal(images, memory.images)
    for batch, index in stream.training_batches(4, seed=0).take(6).as_numpy_iterator():
        np.testing.assert_array_equal(batch, memory.images[index])


def test_index_is_the_place_in_the_files(data_dir):
    builder = tfds.builder("varied_photos", data_dir=data_dir)
    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    expected = [int(e["label"]) for e in builder.as_dataset(split="train", read_config=in_order)]
    image_set, _ = load_tensorflow_datasets("varied_photos", data_dir=data_dir, image_size=8)
    np.testing.assert_array_equal(image_set.labels, expected)


def test_files_of_another_version_serve_as_well(data_dir, monkeypatch):
    monkeypatch.setattr(VariedPhotos, "VERSION", tfds.core.Version("2.0.0"))
    image_set, _ = load_tensorflow_datasets("varied_photos", data_dir=data_dir, image_size=8)
    assert image_set.num_examples == TRAIN


def test_varied_sizes_need_image_size(data_dir):
    with pytest.raises(ValueError, match="data.image_size"):
        load_tensorflow_datasets("varied_photos", data_dir=data_dir)


def test_no_images(data_dir):
    with pytest.raises(ValueError, match="not an image classification data set.*text: Text"):
        load_tensorflow_datasets("only_text", data_dir=data_dir, test_split=None)


def test_split_expressions(data_dir):
    train, test = load_tensorflow_datasets(
        "varied_photos",
        data_dir=data_dir,
        image_size=8,
        train_split="train[2:6]+test[:1]",
        test_split=None,
    )
    assert test is None
    whole, test = load_tensorflow_datasets("varied_photos", data_dir=data_dir, image_size=8)
    expected = np.concatenate([whole.images[2:6], test.images[:1]])
    np.testing.assert_array_equal(train.images, expected)


@pytest.mark.parametrize("split", ["validation", "train[", "train[:0]"])
def test_unknown_split(data_dir, split):
    with pytest.raises(ValueError, match="Its splits: .*train") as caught:
        load_tensorflow_datasets(
            "varied_photos", data_dir=data_dir, image_size=8, train_split=split
        )
    assert split in str(caught.value)


@pytest.mark.parametrize(
    "name, message",
    [
        ("cifar1O", "no builder 'cifar1O'.*Near names: cifar10"),
        ("../cifar10", "cannot open '../cifar10'"),
        ("cifar10:99.0.0", "cannot open 'cifar10:99.0.0'.*3.0.2"),
        ("", "cannot open ''"),
    ],
)
def test_unknown_name(data_dir, name, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_tensorflow_datasets(name, data_dir=data_dir)
    assert "\n" not in str(caught.value)


def test_preparing_fails(tmp_path, monkeypatch):
    def no_network(self, **options):
        raise ConnectionError("Name or service not known\nwww.example.org")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", no_network)
    with pytest.raises(
        ValueError, match="not prepared under.*Name or service.*tfds build"
    ) as caught:
        load_tensorflow_datasets("cifar100", data_dir=str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_missing_file(data_dir, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(data_dir, copy)
    next(copy.rglob("*train.tfrecord-00001*")).unlink()
    with pytest.raises(ValueError, match="missing or cannot be read"):
        load_tensorflow_datasets("varied_photos", data_dir=str(copy), image_size=8)


@pytest.mark.parametrize(
    "name, shape, classes",
    [
        ("svhn_cropped", (32, 32, 3), 10),
        ("cifar10", (32, 32, 3), 10),
        ("fashion_mnist", (28, 28, 3), 10),
    ],
)
def test_real_images(shared_tfds, name, shape, classes):
    options = {
        "data_dir": str(shared_tfds), "train_split": "train[:300]", "test_split": "test[:20]"
    }  # fmt: skip
    memory, test = load_tensorflow_datasets(name, **options)
    stream, _ = load_tensorflow_datasets(name, in_memory=False, **options)
    assert memory.images.shape == (300, *shape) and test.num_examples == 20
    assert len(memory.class_names) == classes and set(memory.labels) == set(range(classes))
    np.testing.assert_array_equal(stream.labels, memory.labels)
    for batch, index in stream.training_batches(64, seed=3).take(5).as_numpy_iterator():
        np.testing.assert_array_equal(batch, memory.images[index])
    builder = tfds.builder(name, data_dir=str(shared_tfds))
    for index, example in enumerate(tfds.as_numpy(builder.as_dataset(split="train[:5]"))):
        expected = np.broadcast_to(example["image"], shape)
        np.testing.assert_array_equal(memory.images[index], expected)
        assert memory.labels[index] == example["label"]


@pytest.mark.parametrize("in_memory", [False, True])
def test_crops_come_from_the_whole_photo(data_dir, in_memory):
    crop = WholeCrop((0.2, 1.0), (3 / 4, 4 / 3))
    images, _ = load_tensorflow_datasets(
        "varied_photos", data_dir=data_dir, image_size=64, in_memory=in_memory
    )
    squares = np.concatenate(list(images.ordered_batches(4).as_numpy_iterator()))
    photos = {resize_array(photo(i), 64).tobytes(): photo(i) for i in range(TRAIN)}
    batches = images.training_batches(TRAIN, 5, first_epoch=2, crop=crop)
    batch, indices = next(batches.as_numpy_iterator())
    assert sorted(indices) == list(range(TRAIN))
    for image, index in zip(batch, indices, strict=True):
        whole = photos[squares[index].tobytes()]
        draws = crop.draws(5, tf.constant(2, tf.int64), tf.constant(index)).numpy().tolist()
        expected = cut_array(whole, 64, crop.box(draws, *whole.shape[:2]))
        np.testing.assert_array_equal(image, expected)
