"""Images as they are given to the client, and the bytes that it sends."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.client.images import batches, encoded_images


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def decoded(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)))


def test_pixels_survive(pixels: np.ndarray) -> None:
    images = encoded_images([pixels, Image.fromarray(pixels), pixels[..., 0]])
    np.testing.assert_array_equal(decoded(images[0]), pixels)
    np.testing.assert_array_equal(decoded(images[1]), pixels)
    np.testing.assert_array_equal(decoded(images[2]), pixels[..., 0])


def test_one_array_of_images_is_many(pixels: np.ndarray) -> None:
    images = encoded_images(np.stack([pixels, 255 - pixels]))
    np.testing.assert_array_equal(decoded(images[1]), 255 - pixels)


def test_pillow_images_go_upright_and_with_their_transparency(pixels: np.ndarray) -> None:
    turned = Image.fromarray(pixels)
    turned.getexif()[274] = 6  # to be turned by 90 degrees
    see_through = Image.fromarray(pixels).convert("RGBA")
    see_through.putalpha(7)
    palette = Image.fromarray(pixels).convert("P")
    images = encoded_images([turned, see_through, palette])
    np.testing.assert_array_equal(decoded(images[0]), np.rot90(pixels, -1))
    np.testing.assert_array_equal(decoded(images[1]), np.asarray(see_through))
    assert decoded(images[2]).shape == pixels.shape


def test_files_and_bytes_go_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(b"jpeg")
    assert encoded_images([path, str(path), b"png"]) == [b"jpeg", b"jpeg", b"png"]


@pytest.mark.parametrize("image", [b"png", "a.png", np.zeros((4, 4, 3), np.uint8)])
def test_single_image_is_refused_with_the_remedy(image: object) -> None:
    with pytest.raises(ValueError, match="put a single image in a list"):
        encoded_images(image)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((4, 4, 3), np.float32), r"float32 \[4, 4, 3\]"),
        (np.zeros((4, 4, 2), np.uint8), r"uint8 \[4, 4, 2\]"),
        (7, "int"),
    ],
)
def test_what_is_no_image_is_named(image: object, said: str) -> None:
    with pytest.raises(ValueError, match=rf"image 1\).*Received: .*{said}"):
        encoded_images([b"png", image])


def test_batches_keep_both_bounds() -> None:
    images = [b"x" * size for size in (1, 1, 1, 9, 50, 1)]
    parts = [[len(image) for image in images[part]] for part in batches(images, 2, 10)]
    assert parts == [[1, 1], [1, 9], [50], [1]]
    assert list(batches([], 2, 10)) == []
