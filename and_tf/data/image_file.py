"""One image file, whatever its format and colour mode, as uint8 RGB."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from and_tf.data.resizing import resize, resize_cut, shorter_side

if TYPE_CHECKING:
    from PIL import Image

    from and_tf.data.whole_crop import Box

# Photographs and scans. Formats that run other programs (EPS), that are not images (PDF, HDF5) or
# that have no signature to tell them by (TGA) stay out.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
MAX_PIXELS = 89_478_485  # Where Pillow begins to suspect a decompression bomb: 256 MiB of RGB.
LARGEST_GREY = (1.0, 255.0, 65535.0)

File = TypeVar("File", bound=str | os.PathLike)
Result = TypeVar("Result")


class UnreadableImageError(ValueError):
    """A file that is no image we can read; the text is the reason."""


def read_size(path: str | os.PathLike) -> tuple[int, int]:
    """Return (height, width) as `read_image` will give them, from the header alone if possible.

    Raises:
        UnreadableImageError: not an image, or one that is too large.
    """
    with _open(path) as image:
        width, height = image.size
        # Pillow turns TIFFs itself. Others are asked only where it matters: a PNG must be read
        # to its end for it.
        if width != height and image.format != "TIFF" and _orientation(image) >= 5:
            width, height = height, width
        return height, width


def read_image(
    path: str | os.PathLike,
    image_size: int | None = None,
    box_of: Callable[[int, int], Box] | None = None,
) -> np.ndarray:
    """Return an image, uint8 [H, W, 3]: upright, the first frame, transparency on white.

    `image_size` is the side to which it is resized (see `resize`), None for its own. With `box_of`
    the cut that it gives for (height, width) is resized instead. A JPEG of more than twice the size
    that is needed is decoded at a half, a quarter or an eighth of its size.

    16-bit greys are scaled from 0..65535. Greys of 32 bits or floats carry no scale: they are read
    as 0..1, 0..255 or 0..65535, the first range that holds them, else stretched from their minimum
    to their maximum.

    Raises:
        UnreadableImageError: not an image, a damaged one, or one that is too large.
    """
    from PIL import Image

    with _open(path) as image:
        try:
            box = None
            if image_size is not None and box_of is not None:
                width, height = image.size
                if image.format != "TIFF" and _orientation(image) >= 5:
                    width, height = height, width
                box = box_of(height, width)
            if image_size is not None and image.format in ("JPEG", "MPO"):
                if box is None:
                    image.draft(None, (2 * shorter_side(image_size),) * 2)
                else:
                    least = min(box[2] - box[0], box[3] - box[1])
                    wanted = [math.ceil(2 * image_size * side / least) for side in image.size]
                    image.draft(None, (wanted[0], wanted[1]))
            image.load()
            transpose = _transpositions().get(_orientation(image))
            if transpose is not None:
                image = image.transpose(transpose)
            if image.mode in ("I", "F") or image.mode.startswith("I;16"):
                image = Image.fromarray(_rescaled_grey(np.asarray(image)))
            if image.has_transparency_data:
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image)
            image = image.convert("RGB")
            if image_size is None or box is None:
                return np.array(resize(image, image_size))
            across, down = image.width / width, image.height / height  # 1, but of a draft
            scaled = box[0] * across, box[1] * down, box[2] * across, box[3] * down
            return np.array(resize_cut(image, image_size, scaled))
        except Exception as error:  # Decoders raise nearly every type for damaged files.
            raise UnreadableImageError(_reason(error)) from error


def read_in_threads(
    read: Callable[[File], Result], paths: Sequence[File]
) -> Iterator[Result | UnreadableImageError]:
    """Yield `read` of each path in order, or the error where it raises UnreadableImageError."""

    def attempt(path: File) -> Result | UnreadableImageError:
        try:
            return read(path)
        except UnreadableImageError as error:
            return error

    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.filterwarnings("ignore", module="PIL")  # Remarks on what is read all the same.
        yield from pool.map(attempt, paths)


def _open(path: str | os.PathLike) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        empty = Path(path).stat().st_size == 0
        reason = "the file is empty" if empty else "not an image in a format that is read"
        raise UnreadableImageError(reason) from None
    except Exception as error:
        raise UnreadableImageError(_reason(error)) from error
    width, height = image.size
    if not 0 < width * height <= MAX_PIXELS:
        image.close()
        raise UnreadableImageError(
            f"{width} x {height} pixels; from 1 to {MAX_PIXELS:,} of them are read"
        )
    return image


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) to 8."""
    from PIL import ExifTags

    try:
        orientation: Any = image.getexif().get(ExifTags.Base.Orientation)
        return orientation if orientation in range(1, 9) else 1
    except Exception:  # noqa: BLE001 - damaged metadata says nothing about the pixels
        return 1


def _transpositions() -> dict:
    from PIL.Image import Transpose

    return {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }


def _rescaled_grey(values: np.ndarray) -> np.ndarray:
    sixteen_bits = values.dtype.itemsize == 2
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("some pixels are not finite numbers")
    low, high = values.min(), values.max()
    ranges = LARGEST_GREY[-1:] if sixteen_bits else LARGEST_GREY
    largest = next((value for value in ranges if high <= value), None)
    if low < 0 or largest is None:
        values, largest = values - low, max(high - low, 1e-300)
    return np.round(values * (255 / largest)).astype(np.uint8)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
