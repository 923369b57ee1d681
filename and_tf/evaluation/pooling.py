"""Feature maps made small enough for a linear classifier."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

MOST_VALUES = 9600


def pooled(maps: tf.Tensor, most: int = MOST_VALUES) -> tf.Tensor:
    """Maps averaged to the finest square grid of at most `most` values, flat.

    Args:
        maps: float [B, h, w, c]; vectors [B, F] stay as they are.
        most: Values of the result; a map with more channels is averaged over all its places.

    Returns:
        float32 [B, D]. Cells are those of torch's adaptive pooling: they may overlap by a row or column.

    Source: Zhang et al., ECCV 2016, section 3.2, who bring maps to about 9,000 values.
    """
    maps = tf.cast(maps, tf.float32)
    if maps.shape.rank == 2:
        return maps
    height, width, channels = maps.shape[1:]
    if height * width * channels > most:
        side = max(1, math.isqrt(most // channels))
        rows, columns = _averages(height, side), _averages(width, side)
        maps = tf.einsum("ih,jw,bhwc->bijc", rows, columns, maps)
    return tf.reshape(maps, [tf.shape(maps)[0], math.prod(maps.shape[1:])])


def _averages(length: int, cells: int) -> np.ndarray:
    """The weights that average `length` places to `cells`, float32 [min(cells, length), length]."""
    cells = min(cells, length)
    weights = np.zeros((cells, length), np.float32)
    for cell in range(cells):
        first, end = cell * length // cells, -(-(cell + 1) * length // cells)
        weights[cell, first:end] = 1 / (end - first)
    return weights
