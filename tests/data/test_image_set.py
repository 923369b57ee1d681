"""The order of training batches: the same contract for every kind of image set."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from and_tf.data.image_set import ImageSet, epoch_permutation
from and_tf.data.in_memory import InMemoryImageSet
from and_tf.data.records import StreamedRecords
from and_tf.data.streamed_files import StreamedFiles

N, B = 23, 5
STEPS = 5
SPECS = tf.TensorSpec([None, 6, 4, 3], tf.uint8), tf.TensorSpec([None], tf.int64)


@dataclass
class File:
    filename: str
    skip: int
    take: int
    examples_in_shard: int


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (N, 6, 4, 3), np.uint8)


@pytest.fixture(scope="module", params=["memory", "files", "records"])
def image_set(request, images, tmp_path_factory) -> ImageSet:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "memory":
        return InMemoryImageSet("memory", images)
    if request.param == "files":
        paths = [folder / f"{index}.png" for index in range(N)]
        for path, image in zip(paths, images, strict=True):
            Image.fromarray(image).save(path)
        names = [path.name for path in paths]
        return StreamedFiles("files", paths, images.shape[1:], None, sources=names)
    files, first = [], 0
    for number, length in enumerate([4, 1, 10, 8]):
        name = str(folder / f"{number}.tfrecord")
        with tf.io.TFRecordWriter(name) as writer:
            writer.write(b"not part of the split")
            for image in images[first : first + length]:
                writer.write(image.tobytes())
        files.append(File(name, skip=1, take=length, examples_in_shard=length + 1))
        first += length
    return StreamedRecords(
        "records",
        files,
        images.shape[1:],
        lambda record: tf.reshape(tf.io.decode_raw(record, tf.uint8), images.shape[1:]),
    )


@pytest.fixture(scope="module")
def stream(image_set) -> list[list[int]]:
    """The indices of four epochs."""
    return indices(image_set, 4 * STEPS, seed=7)


def batches(image_set: ImageSet, count: int, *args, **kwargs) -> list[tuple]:
    stream = image_set.training_batches(B, *args, **kwargs)
    return list(itertools.islice(stream.as_numpy_iterator(), count))


def indices(*args, **kwargs) -> list[list[int]]:
    return [index.tolist() for _, index in batches(*args, **kwargs)]


def test_every_epoch_holds_every_example_once(image_set):
    assert image_set.steps_per_epoch(B) == STEPS
    found = indices(image_set, 3 * STEPS, seed=1)
    assert [len(batch) for batch in found] == [5, 5, 5, 5, 3] * 3
    epochs = np.concatenate(found).reshape(3, N)
    np.testing.assert_array_equal(np.sort(epochs), [np.arange(N)] * 3)
    assert len({tuple(order) for order in [*epochs, np.arange(N)]}) == 4


def test_images_belong_to_their_indices(image_set, images):
    for batch, index in batches(image_set, STEPS + 2, seed=1):
        assert index.dtype == np.int64 and batch.dtype == np.uint8
        np.testing.assert_array_equal(batch, images[index])


@pytest.mark.parametrize("epoch, step", [(0, 0), (0, 3), (1, 0), (2, 4), (1, STEPS)])
def test_a_resumed_stream_goes_on_where_it_was_stopped(image_set, stream, epoch, step):
    start = epoch * STEPS + step
    resumed = indices(image_set, 4 * STEPS - start, seed=7, first_epoch=epoch, first_step=step)
    assert resumed == stream[start:]


@pytest.mark.parametrize("rows", [range(2), range(2, 4), range(4, 6), range(6, 8)])
@pytest.mark.parametrize("epoch, step", [(0, 0), (1, 3)])
def test_batches_are_cut_to_rows_that_may_be_none(image_set, stream, images, rows, epoch, step):
    cut = image_set.training_batches(B, 7, epoch, step, rows)
    assert cut.element_spec == SPECS
    found = list(itertools.islice(cut.as_numpy_iterator(), 2 * STEPS + 1))
    start = epoch * STEPS + step
    assert [index.tolist() for _, index in found] == [
        index[rows.start : rows.stop] for index in stream[start : start + len(found)]
    ]
    for batch, index in found:
        np.testing.assert_array_equal(batch, images[index])


def test_order_depends_on_the_seed_and_on_nothing_else(image_set):
    tf.random.set_seed(1)
    first = indices(image_set, STEPS, seed=7)
    tf.random.set_seed(2)
    assert indices(image_set, STEPS, seed=7) == first
    assert indices(image_set, STEPS, seed=8) != first
    assert indices(image_set, STEPS, seed=7 + 2**40) != first


def test_ordered_batches_follow_the_index(image_set, images):
    found = list(image_set.ordered_batches(B).as_numpy_iterator())
    assert [len(batch) for batch in found] == [5, 5, 5, 5, 3]
    np.testing.assert_array_equal(np.concatenate(found), images)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_a_share_has_every_few_of_the_ordered_batches(image_set, count):
    whole = list(image_set.ordered_batches(B).as_numpy_iterator())
    for rank in range(count):
        share = list(image_set.ordered_batches(B, (rank, count)).as_numpy_iterator())
        assert len(share) == len(whole[rank::count])
        for found, expected in zip(share, whole[rank::count], strict=True):
            np.testing.assert_array_equal(found, expected)


def test_batches_have_one_static_shape(image_set):
    batches = image_set.training_batches(B, seed=0)
    assert batches.element_spec == SPECS
    assert batches.cardinality() == tf.data.INFINITE_CARDINALITY
    assert image_set.ordered_batches(B).element_spec == SPECS[0]


def test_a_batch_may_be_larger_than_the_set(image_set):
    stream = image_set.training_batches(100, seed=0).as_numpy_iterator()
    assert [sorted(index) for _, index in itertools.islice(stream, 2)] == [list(range(N))] * 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"batch_size": 0, "seed": 0}, "batch size.*Received: 0"),
        ({"batch_size": B, "seed": -1}, "seed.*Received: -1"),
        ({"batch_size": B, "seed": 2**63}, "seed"),
        ({"batch_size": B, "seed": 0, "first_epoch": -1}, "first_epoch=-1"),
        ({"batch_size": B, "seed": 0, "first_step": STEPS + 1}, "first_step=6"),
    ],
)
def test_impossible_requests(image_set, arguments, message):
    with pytest.raises(ValueError, match=message):
        image_set.training_batches(**arguments)
    with pytest.raises(ValueError, match="batch size"):
        image_set.ordered_batches(0)


def test_epoch_permutation():
    order = epoch_permutation(1000, seed=3, epoch=5).numpy()
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    other = epoch_permutation(1000, seed=5, epoch=3).numpy()
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.15
    assert abs(np.corrcoef(order, other)[0, 1]) < 0.15


def test_an_empty_set_is_refused():
    with pytest.raises(ValueError, match="'nothing' holds no images"):
        InMemoryImageSet("nothing", np.zeros((0, 4, 4, 3), np.uint8))
