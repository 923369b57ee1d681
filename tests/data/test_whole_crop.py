"""Random crops of whole photographs at decoding, against the crops of a batch and Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from and_tf.data import from_arrays, load
from and_tf.data.augment import CROP_DRAWS
from and_tf.data.crop import crop_boxes
from and_tf.data.image_file import read_image
from and_tf.data.threefry import uniform
from and_tf.data.whole_crop import DRAWS, WholeCrop

CROP = WholeCrop((0.2, 1.0), (3 / 4, 4 / 3))
SIZE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs of several sizes and formats, smooth, so that ways to resize agree."""
    folder = tmp_path_factory.mktemp("photos")
    for number, (name, size) in enumerate(
        {"a.jpg": (160, 120), "b.png": (90, 300), "c.jpg": (700, 500), "d.webp": (80, 80)}.items()
    ):
        rows, columns = np.mgrid[0 : size[1], 0 : size[0]] / max(size)
        pixels = np.stack([255 * rows, 255 * columns, 60 * number + 0 * rows], axis=-1)
        Image.fromarray(np.round(pixels).astype(np.uint8)).save(folder / name, quality=95)
    return folder


def epoch_of(images, epoch=0, seed=3, batch_size=4, **options) -> dict[int, np.ndarray]:
    batches = images.training_batches(batch_size, seed, first_epoch=epoch, crop=CROP, **options)
    steps = images.steps_per_epoch(batch_size)
    return {
        int(index): image
        for batch, indices in batches.take(steps).as_numpy_iterator()
        for image, index in zip(batch, indices, strict=True)
    }


@pytest.mark.parametrize("shape", [(500, 375), (224, 224), (40, 900), (900, 40), (1, 1)])
@pytest.mark.parametrize("scale, ratio", [((0.2, 1.0), (3 / 4, 4 / 3)), ((0.9, 1.0), (2.0, 3.0))])
def test_boxes_are_those_of_a_batch(shape, scale, ratio):
    crop = WholeCrop(scale, ratio)
    draws = uniform(5, 2, tf.range(300), DRAWS)
    top, left, height, width = (
        np.array(side, int) for side in crop_boxes(draws, *shape, scale, ratio)
    )
    boxes = np.array([crop.box(row.tolist(), *shape) for row in draws.numpy()])
    expected = np.stack([left, top, left + width, top + height], axis=1)
    # A root that falls on a half is rounded either way in float32.
    assert (boxes != expected).any(axis=1).mean() < 0.02
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= shape[::-1]).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_the_draws_are_those_of_the_augmentation():
    draws = uniform(7, 4, tf.constant([11]), DRAWS)[0]
    assert CROP_DRAWS == slice(0, DRAWS)
    np.testing.assert_array_equal(CROP.draws(7, tf.constant(4, tf.int64), tf.constant(11)), draws)


def test_a_crop_is_cut_from_the_whole_photograph(folder):
    images, _ = load("folder", path=str(folder), image_size=SIZE, in_memory=False)
    assert images.crops_whole
    cuts = epoch_of(images, epoch=6)
    for index, name in enumerate(images.sources):
        with Image.open(folder / name) as image:
            whole = image.convert("RGB")
        draws = uniform(3, 6, tf.constant([index]), DRAWS)[0].numpy().tolist()
        box = CROP.box(draws, whole.height, whole.width)
        expected = whole.crop(box).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(cuts[index], np.array(expected), atol=5)


def test_all_of_a_photograph_is_seen(folder):
    images, _ = load("folder", path=str(folder), image_size=SIZE, in_memory=False)
    index = images.sources.index("b.png")  # its central square is rows 105 to 195 of 300
    batches = images.training_batches(4, 3, crop=CROP).take(12).as_numpy_iterator()
    seen = [batch[indices == index][0, ..., 0] for batch, indices in batches]
    assert min(each.min() for each in seen) < 60 and max(each.max() for each in seen) > 195
    square = next(iter(images.ordered_batches(4)))[index, ..., 0]
    assert square.numpy().min() > 85 and square.numpy().max() < 170


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_crop_is_a_function_of_seed_epoch_and_index(folder, in_memory):
    images, _ = load("folder", path=str(folder), image_size=SIZE, in_memory=in_memory)
    first = epoch_of(images)
    again = epoch_of(images, batch_size=3)
    for index, image in first.items():
        np.testing.assert_array_equal(again[index], image)
    for other in (epoch_of(images, epoch=1), epoch_of(images, seed=4)):
        assert all((other[index] != image).any() for index, image in first.items())
    resumed = images.training_batches(1, 3, first_epoch=0, first_step=2, crop=CROP)
    image, index = next(iter(resumed))
    np.testing.assert_array_equal(image[0], first[int(index[0])])
    rows = images.training_batches(4, 3, rows=range(1, 3), crop=CROP)
    batch, indices = next(iter(rows))
    assert len(indices) == 2
    np.testing.assert_array_equal(batch[0], first[int(indices[0])])


def test_sets_in_memory_are_cut_from_their_files(folder, tmp_path):
    (tmp_path / "photos").mkdir()
    for path in folder.iterdir():
        (tmp_path / "photos" / path.name).write_bytes(path.read_bytes())
    broken = tmp_path / "photos" / "a_broken.png"
    broken.write_bytes((folder / "b.png").read_bytes()[:-40])
    memory, _ = load("folder", path=str(tmp_path / "photos"), image_size=SIZE, in_memory=True)
    stream, _ = load("folder", path=str(folder), image_size=SIZE, in_memory=False)
    assert memory.images is not None and memory.sources == stream.sources
    cuts = epoch_of(memory)
    for index, image in epoch_of(stream).items():
        np.testing.assert_array_equal(cuts[index], image)
    assert [name for name, _ in memory.skipped] == ["a_broken.png"]
    (tmp_path / "photos" / "b.png").unlink()
    with pytest.warns(UserWarning, match=r"b\.png cannot be read"):
        epoch_of(memory)
    assert [name for name, _ in memory.skipped] == ["a_broken.png", "b.png"]


def test_a_turned_photograph_is_cut_upright(tmp_path):
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[:100, :150] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right: the white corner is the right one
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(pixels).rotate(-90, expand=True).save(encoded, "PNG")
    shapes = []

    def box(height, width):
        shapes.append((height, width))
        return 120, 10, 190, 80

    cut = read_image(tmp_path / "turned.jpg", 64, box)
    assert shapes == [(300, 200)] and cut.min() > 240
    assert read_image(tmp_path / "turned.jpg", 64, lambda *_: (10, 10, 80, 80)).max() < 20


def test_small_or_arrays_are_not_cut_at_decoding(folder):
    small, _ = load("folder", path=str(folder), image_size=32)
    for images in (small, from_arrays(np.zeros((4, 8, 8, 3), np.uint8))):
        assert not images.crops_whole
        with pytest.raises(ValueError, match="no photographs to be cut"):
            images.training_batches(2, 0, crop=CROP)
