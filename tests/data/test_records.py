from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import tensorflow as tf

from and_tf.data import records
from and_tf.data.records import StreamedRecords


@dataclass
class File:
    filename: str
    skip: int
    take: int
    examples_in_shard: int


LENGTHS = [5, 30, 1, 24]
N = sum(LENGTHS)


@pytest.fixture
def files(tmp_path) -> list[File]:
    values = iter(range(N))
    found = []
    for number, length in enumerate(LENGTHS):
        name = str(tmp_path / f"{number}.tfrecord")
        with tf.io.TFRecordWriter(name) as writer:
            for _ in range(length):
                writer.write(bytes([next(values)]) * 12)
        found.append(File(name, 0, length, length))
    return found


def image_set(files, labelled: bool = True, withheld: bool = False) -> StreamedRecords:
    def pixels(record):
        return tf.reshape(tf.io.decode_raw(record, tf.uint8), [2, 2, 3])

    def label(record):
        value = tf.cast(pixels(record)[0, 0, 0], tf.int64)
        return -tf.ones_like(value) if withheld else value

    return StreamedRecords("records", files, (2, 2, 3), pixels, label if labelled else None)


def epoch_order(image_set: StreamedRecords, seed: int) -> np.ndarray:
    stream = image_set.training_batches(N, seed=seed).take(1)
    return next(stream.as_numpy_iterator())[1]


def test_labels_are_gathered_in_index_order(files):
    np.testing.assert_array_equal(image_set(files).labels, np.arange(N))
    assert image_set(files).labels.dtype == np.int64
    assert image_set(files, labelled=False).labels is None
    assert image_set(files, withheld=True).labels is None


def test_decoded_at_once_it_is_the_same_set(files):
    stream = image_set(files)
    memory = stream.decode_all()
    np.testing.assert_array_equal(memory.images[:, 0, 0, 0], np.arange(N))
    np.testing.assert_array_equal(memory.labels, stream.labels)
    assert memory.name == stream.name and memory.image_shape == stream.image_shape


def test_part_of_a_file(files):
    files = [File(files[1].filename, skip=3, take=4, examples_in_shard=30), files[0]]
    expected = [8, 9, 10, 11, 0, 1, 2, 3, 4]
    np.testing.assert_array_equal(image_set(files).labels, expected)
    for batch, index in image_set(files).training_batches(4, seed=0).take(3).as_numpy_iterator():
        np.testing.assert_array_equal(batch[:, 0, 0, 0], np.array(expected)[index])


def test_a_small_set_is_shuffled_as_a_whole(files):
    orders = [epoch_order(image_set(files), seed) for seed in range(8)]
    of_first_file = np.concatenate([np.flatnonzero(order < LENGTHS[0]) for order in orders])
    assert of_first_file.min() < 10
    assert of_first_file.max() >= 50


def test_a_small_buffer_still_reads_each_record_once(files, monkeypatch):
    monkeypatch.setattr(records, "SHUFFLE_BYTES", 28 * 4)  # A record takes 28 bytes on disk.
    small = image_set(files)
    assert small._shuffle_buffer == 4
    order = epoch_order(small, seed=0)
    np.testing.assert_array_equal(np.sort(order), np.arange(N))
    again = epoch_order(small, seed=0)
    np.testing.assert_array_equal(order, again)


def test_missing_file(files):
    files[0].filename += ".gone"
    with pytest.raises(tf.errors.NotFoundError):
        image_set(files)


def test_damaged_and_incomplete_files(files):
    with open(files[3].filename, "r+b") as file:
        file.truncate(40)
    with pytest.raises(ValueError, match="'records' is damaged"):
        image_set(files).decode_all()
    with pytest.raises(ValueError, match="'records' is damaged"):
        _ = image_set(files).labels
    files[3].take, files[3].examples_in_shard = 1, 1
    files[1].take += 1
    with pytest.raises(ValueError, match=r"incomplete: 38 examples are listed. Received: 37"):
        image_set(files).decode_all()
