"""Neighbourhood discovery: from a bank to every example's neighbours and entropy."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from and_tf.exact_search import Progress, search_exactly


@dataclasses.dataclass(frozen=True)
class Neighbourhoods:
    """What one discovery finds.

    Attributes:
        neighbours: int32 [N, k]. Nearest other rows by cosine similarity, nearest first (Eq. 1).
        entropy: float32 [N]. Entropy in nats of each row's softmax over all rows (Eq. 5).
    """

    neighbours: np.ndarray
    entropy: np.ndarray

    def mutual_share(self) -> float:
        """Share of rows that are the nearest neighbour of their own nearest neighbour."""
        nearest = self.neighbours[:, 0]
        return float(np.mean(nearest[nearest] == np.arange(len(nearest))))


def discover(
    bank: np.ndarray | tf.Tensor,
    neighbours: int,
    temperature: float,
    progress: Progress = lambda share: None,
) -> Neighbourhoods:
    """Find every row's neighbours and entropy.

    Args:
        bank: float [N, d], rows of about unit length.
        neighbours: k, the number of neighbours without the row itself.
        temperature: tau of the entropy.
        progress: Told the share of the work that is done, from 0 to 1.

    Returns:
        The `Neighbourhoods`. The entropy counts the row itself, the neighbours do not.

    Raises:
        ValueError: k is not between 1 and N - 1, or rows far from unit length.

    Source: Eq. 1 and Eq. 5 of the AND paper.
    """
    bank = np.ascontiguousarray(bank, np.float32)
    if not 1 <= neighbours < len(bank):
        raise ValueError(
            "The number of neighbours must be at least 1 and less than the number of examples. "
            f"Received: neighbours={neighbours}, examples={len(bank)}"
        )
    return Neighbourhoods(*search_exactly(bank, neighbours, temperature, progress))
