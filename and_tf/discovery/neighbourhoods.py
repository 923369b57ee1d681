"""Neighbourhood discovery: from a bank to every example's neighbours and entropy."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from and_tf.discovery.exact_search import Progress, search_exactly
from and_tf.discovery.scann_index import FEWEST_ROWS, load_scann
from and_tf.discovery.scann_search import Probe, search_with_scann
from and_tf.distribution.shards import Shards
from and_tf.distribution.workers import ALONE, Workers

SEARCHERS = ("exact", "scann", "auto")
EXACT_UP_TO = 60_000
"""Rows up to which an exact search on a CPU is the faster, see docs/performance.md."""


@dataclasses.dataclass(frozen=True)
class Neighbourhoods:
    """What one discovery finds.

    Attributes:
        neighbours: int32 [N, k]. Nearest other rows by cosine similarity, nearest first (Eq. 1).
        entropy: float32 [N]. Entropy in nats of each row's softmax over all rows (Eq. 5).
        probe: How good they are where ScaNN found them, None where the search was exact.
    """

    neighbours: np.ndarray
    entropy: np.ndarray
    probe: Probe | None = None

    def mutual_share(self) -> float:
        """Share of rows that are the nearest neighbour of their own nearest neighbour."""
        nearest = self.neighbours[:, 0]
        return float(np.mean(nearest[nearest] == np.arange(len(nearest))))


def discover(
    bank: np.ndarray | tf.Tensor | list[tuple[int, np.ndarray]],
    neighbours: int,
    temperature: float,
    searcher: str = "auto",
    seed: int | Sequence[int] = 0,
    anchor_share: float = 0.25,
    progress: Progress = lambda share: None,
    workers: Workers = ALONE,
) -> Neighbourhoods:
    """Find every row's neighbours and entropy.

    Args:
        bank: float [N, d], rows of about unit length; or the shards of it that this process holds,
            each the first row's id and float [n, d], where the workers have others.
        neighbours: k, the number of neighbours without the row itself.
        temperature: tau of the entropy.
        searcher: "exact" compares all rows with all. "scann" is approximate, in time that grows
            little faster than N; below 4,096 rows, or where ScaNN is missing, it is exact, too.
            "auto" is exact on a GPU and up to 60,000 rows, where that is the faster.
        seed: Of what "scann" draws.
        anchor_share: The share of rows that will be anchors, for the `Probe` of "scann".
        progress: Told the share of the work that is done, from 0 to 1.
        workers: Who search together: all call it with the same arguments but for their shards.

    Returns:
        The `Neighbourhoods`, the same for all workers. The entropy counts the row itself, the neighbours do not.

    Raises:
        ValueError: k is not between 1 and N - 1, rows that are not finite or far from unit length, or
            another searcher.

    Source: Eq. 1 and Eq. 5 of the AND paper.
    """
    if isinstance(bank, list):
        shards = Shards(bank, workers)
    else:
        shards = Shards([(0, np.asarray(bank))])
    if not 1 <= neighbours < shards.num_rows:
        raise ValueError(
            "The number of neighbours must be at least 1 and less than the number of examples. "
            f"Received: neighbours={neighbours}, examples={shards.num_rows}"
        )
    _check_finite(shards)
    exact = choose_searcher(searcher, shards.num_rows) == "exact"
    if workers.gathered(np.array([exact], np.int32)).any():  # ScaNN may be missing at one of them
        return Neighbourhoods(*search_exactly(shards, neighbours, temperature, progress, workers))
    nearest, entropy, probe = search_with_scann(
        shards, neighbours, temperature, seed, anchor_share, progress, workers
    )
    if workers.is_chief and (shortfall := probe.shortfall()):
        warnings.warn(shortfall, stacklevel=2)
    return Neighbourhoods(nearest, entropy, probe)


def _check_finite(shards: Shards) -> None:
    """Raise ValueError, at all holders, where a row is not finite: ScaNN would end the process."""
    found = [
        first + np.flatnonzero(~np.isfinite(np.einsum("nd,nd->n", rows, rows)))
        for first, rows in shards.parts
    ]
    wrong = shards.holders.gathered(np.concatenate([np.arange(0), *found]))
    if len(wrong):
        ids = ", ".join(map(str, np.sort(wrong)[:5].tolist()))
        raise ValueError(
            "The rows of the bank must be finite and of about unit length. Received: "
            f"{len(wrong):,} of {shards.num_rows:,} rows with NaN, infinite or huge numbers, "
            f"such as {ids}"
        )


def choose_searcher(searcher: str, num_examples: int) -> str:
    """The searcher, "exact" or "scann", that `discover` uses for so many rows here.

    Raises:
        ValueError: No such searcher.
    """
    check_searcher(searcher)
    if searcher == "auto":
        exact = num_examples <= EXACT_UP_TO or bool(tf.config.get_visible_devices("GPU"))
    else:
        exact = searcher == "exact" or num_examples < FEWEST_ROWS
    return "exact" if exact or load_scann() is None else "scann"


def check_searcher(searcher: str) -> None:
    """Raise ValueError unless it is one of `SEARCHERS`."""
    if searcher not in SEARCHERS:
        raise ValueError(f"The searcher must be one of {SEARCHERS}. Received: {searcher!r}")
