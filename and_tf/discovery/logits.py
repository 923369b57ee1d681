"""Logits of rows against rows, their exponentials, and the entropy that follows from their sums."""

from __future__ import annotations

import numpy as np

from and_tf.distribution.shards import Shards

_LARGEST_LOGIT = 40.0  # whose exponential float32 sums with ease


def logits_and_powers(
    rows: np.ndarray, columns: np.ndarray, shift: np.float32, buffers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The logits between two blocks of rows, less a shift, and their exponentials.

    Args:
        rows: float32 [B, d].
        columns: float32 [C, d]; one of the two is divided by the temperature.
        shift: Of every logit, see `logit_shift`.
        buffers: float32 [2, at least B C], which the results are views of.

    Returns:
        float32 [B, C] each.
    """
    shape = len(rows), len(columns)
    logits, powers = (buffer[: shape[0] * shape[1]].reshape(shape) for buffer in buffers)
    np.matmul(rows, columns.T, out=logits)
    if shift:
        np.subtract(logits, shift, out=logits)
    np.exp(logits, out=powers)
    return logits, powers


def entropy_of_sums(partition: np.ndarray, weighted: np.ndarray) -> np.ndarray:
    """Eq. 5 from the sums of e^s and of s e^s over a row: log sum e^s - sum s e^s / sum e^s.

    Args:
        partition: float64 [B].
        weighted: float64 [B].

    Returns:
        float32 [B], nats.
    """
    return (np.log(partition) - weighted / partition).astype(np.float32)


def logit_shift(shards: Shards, temperature: float) -> np.float32:
    """What to take from every logit so that float32 holds its exponential, 0 where nothing need be.

    A row's greatest logit is no less than that with itself and no more than the longest row's.

    Raises:
        ValueError: Rows that are not of about unit length.
    """
    own = [np.einsum("nd,nd->n", rows, rows) / temperature for _, rows in shards.parts]
    extremes = np.array([[each.min(), each.max()] for each in own], np.float32).reshape(-1, 2)
    extremes = shards.holders.gathered(extremes)
    least, greatest = extremes.min(), extremes.max()
    if not greatest - least <= _LARGEST_LOGIT:
        raise ValueError(
            "The rows of the bank must be finite and of about unit length. Received: squared "
            f"lengths from {least * temperature:g} to {greatest * temperature:g} at "
            f"temperature {temperature:g}"
        )
    return np.float32(greatest if greatest > _LARGEST_LOGIT else 0)
