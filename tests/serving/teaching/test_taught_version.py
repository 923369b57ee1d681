"""How images to be taught are embedded."""

from __future__ import annotations

import io

from PIL import Image

from serving.teaching.taught_version import _batches


def _png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return file.getvalue()


def test_no_batch_has_more_images_or_pixels_than_fit_into_memory() -> None:
    small, large, unknown = _png(8, 8), _png(3000, 2000), b"no image"
    images = [small] * 40 + [large] * 5 + [unknown]
    batches = list(_batches(images))
    assert [image for batch in batches for image in batch] == images
    assert [len(batch) for batch in batches] == [32, 10, 2, 2]
    assert list(_batches([_png(5000, 5000)] * 2)) == [[_png(5000, 5000)]] * 2
    assert list(_batches([])) == []
