"""Random crops of whole photographs, taken when these are decoded."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import tensorflow as tf

from and_tf.data import threefry
from and_tf.data.crop import TRIES

DRAWS = 2 * TRIES + 2
Box = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""


@dataclasses.dataclass(frozen=True)
class WholeCrop:
    """RandomResizedCrop from the whole photograph, as the authors trained on photographs.

    Attributes:
        scale: least and greatest share of the photograph's area.
        ratio: least and greatest width / height.
    """

    scale: tuple[float, float]
    ratio: tuple[float, float]

    @staticmethod
    def draws(seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """The draws of one example, float32 [DRAWS]: those of `Augment` for its crop."""
        return _draws(tf.constant(seed, tf.int64), epoch, tf.cast(index, tf.int64))

    def box(self, draws: Sequence[float], height: int, width: int) -> Box:
        """Where a photograph is cut: as `and_tf.data.crop.crop_boxes`, for one of any size."""
        low, high = map(math.log, self.ratio)
        top, left = draws[-2:]
        for area, aspect in zip(draws[:TRIES], draws[TRIES:-2], strict=True):
            pixels = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * area)
            ratio = math.exp(low + (high - low) * aspect)
            across, down = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
            if 1 <= across <= width and 1 <= down <= height:
                x, y = int(left * (width - across + 1)), int(top * (height - down + 1))
                return x, y, x + across, y + down
        across = min(width, max(1, round(height * self.ratio[1])))
        down = min(height, max(1, round(width / self.ratio[0])))
        x, y = (width - across) // 2, (height - down) // 2
        return x, y, x + across, y + down


@tf.function(autograph=False)  # traced once, not for every data set
def _draws(seed: tf.Tensor, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    return threefry.uniform(seed, epoch, index[tf.newaxis], DRAWS)[0]
