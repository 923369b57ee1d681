"""Search with ScaNN, for banks too large to compare all rows with all; checked on a probe of rows.

Its settings come from N. A probe, rows that are searched exactly as well, says whether they reach
the recall and the entropies that they should; if not they are raised until they do, or as far as
makes sense.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import tensorflow as tf

from and_tf.entropy_estimate import EntropyEstimate
from and_tf.exact_search import Progress, search_rows

FEWEST_ROWS = 4096
"""Banks smaller than this are always searched exactly, in well under a second."""

RECALL = 0.95
OVERLAP = 0.95
_PROBE_ROWS = 1000
_BATCH = 16384  # rows searched between two words on the progress
_NEAREST = 30  # rows beside itself whose terms of the entropy are exact
_FIRST_LEAVES = 32
_FIRST_SAMPLE, _LARGEST_SAMPLE = 16384, 65536


@dataclasses.dataclass(frozen=True)
class Probe:
    """How a search with ScaNN fared on a random sample of rows that were searched exactly, too.

    Attributes:
        rows: Number of rows in the probe.
        recall: Share of their k nearest rows that were found.
        rank_correlation: Spearman's, of estimated and exact entropy.
        overlap: Of those with the lowest exact entropies, the share that is chosen by the estimate.
        leaves: Parts that ScaNN cut the bank into.
        leaves_searched: Parts that it searched for each row.
        reordered: Candidates of a row that were compared exactly.
        nearest: Nearest rows, itself among them, whose terms of the entropy are exact.
        sample: Rows in the sample that the other terms are estimated from.
    """

    rows: int
    recall: float
    rank_correlation: float
    overlap: float
    leaves: int
    leaves_searched: int
    reordered: int
    nearest: int
    sample: int

    def shortfall(self) -> str | None:
        """What was not reached and what was used, for a person; None if all was."""
        missed = [
            f"{name} {value:.3f}, {target:g} wanted"
            for name, value, target in (
                ("recall", self.recall, RECALL),
                ("overlap of the selected set", self.overlap, OVERLAP),
            )
            if value < target
        ]
        if not missed:
            return None
        return (
            f"ScaNN falls short on a probe of {self.rows:,} rows: {' and '.join(missed)}, with "
            f"{self.leaves_searched} of {self.leaves} leaves searched, {self.reordered} candidates "
            f"reordered and a sample of {self.sample:,} rows. searcher=exact is right at any time."
        )


@functools.cache
def load_scann() -> ModuleType | None:
    """ScaNN's module of searchers, or None with a warning where it is missing or does not load."""
    try:
        from scann import scann_ops_pybind
    # Its wheel for another TensorFlow is there but ends in an error of TensorFlow's loader.
    except (ImportError, OSError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        warnings.warn(
            f"ScaNN cannot be used, so neighbourhoods are searched exactly, in time that grows as "
            f"N squared: {reason}. It has wheels for Linux: pip install 'scann>=1.4.2,<1.5'",
            stacklevel=2,
        )
        return None
    return scann_ops_pybind


def search_with_scann(
    bank: np.ndarray,
    neighbours: int,
    temperature: float,
    seed: int | Sequence[int] = 0,
    anchor_share: float = 0.25,
    progress: Progress = lambda share: None,
) -> tuple[np.ndarray, np.ndarray, Probe]:
    """Nearest other rows and entropy of every row, both approximate.

    Args:
        bank: float32 [N, d], rows of about unit length.
        neighbours: k, from 1 to N - 1.
        temperature: tau of the entropy.
        seed: Of the probe and of the sample.
        anchor_share: The share of rows of lowest entropy that will be selected.
        progress: Told how far the search is.

    Returns:
        int32 [N, k] ids; float32 [N] entropies in nats; and what the probe found.

    Raises:
        ValueError: Rows far from unit length.

    Source: Guo et al., Accelerating Large-Scale Inference with Anisotropic Vector Quantization,
    ICML 2020, for ScaNN; Eq. 1 and Eq. 5 of the AND paper.
    """
    num_examples = len(bank)
    random = np.random.default_rng(seed)
    probe_rows = np.sort(random.choice(num_examples, min(_PROBE_ROWS, num_examples), replace=False))
    largest_sample = random.permutation(num_examples)[:_LARGEST_SAMPLE]
    exact_ids, exact_entropy = search_rows(tf.constant(bank), probe_rows, neighbours, temperature)
    progress(0.02)

    searcher = _Searcher(bank, neighbours)
    progress(0.1)
    while True:
        nearest, similarities = searcher.search(probe_rows)
        recall = _shared(exact_ids, nearest[:, 1 : neighbours + 1])
        if recall >= RECALL or not searcher.raise_settings():
            break

    size = min(_FIRST_SAMPLE, num_examples)
    while True:
        estimate = EntropyEstimate(bank, largest_sample[:size], temperature)
        entropy = estimate(probe_rows, nearest, similarities)
        count = max(1, int(anchor_share * len(probe_rows)))
        overlap = _shared(
            np.argsort(exact_entropy, kind="stable")[np.newaxis, :count],
            np.argsort(entropy, kind="stable")[np.newaxis, :count],
        )
        if overlap >= OVERLAP or size == len(largest_sample):
            break
        size = min(2 * size, len(largest_sample))
    probe = Probe(
        rows=len(probe_rows),
        recall=recall,
        rank_correlation=_rank_correlation(exact_entropy, entropy),
        overlap=overlap,
        leaves=searcher.leaves,
        leaves_searched=searcher.leaves_searched,
        reordered=searcher.reordered,
        nearest=nearest.shape[1],
        sample=size,
    )

    ids = np.empty((num_examples, neighbours), np.int32)
    entropies = np.empty(num_examples, np.float32)
    for start in range(0, num_examples, _BATCH):
        rows = np.arange(start, min(start + _BATCH, num_examples))
        nearest, similarities = searcher.search(rows)
        ids[rows] = nearest[:, 1 : neighbours + 1]
        entropies[rows] = estimate(rows, nearest, similarities)
        progress(0.1 + 0.9 * (rows[-1] + 1) / num_examples)
    _complete(bank, ids, temperature)
    return ids, entropies, probe


class _Searcher:
    """ScaNN over a bank: a tree of leaves, quantised scores inside them, exact ones at the end.

    Attributes:
        leaves: 2 sqrt(N): choosing among them takes about as long as searching those chosen.
        leaves_searched: For each row.
        reordered: Candidates whose similarity is computed exactly.
    """

    def __init__(self, bank: np.ndarray, neighbours: int) -> None:
        num_examples, dim = bank.shape
        self._bank = bank
        self._found = min(max(neighbours, _NEAREST) + 1, num_examples)
        self.leaves = max(1, round(2 * math.sqrt(num_examples)))
        self.leaves_searched = min(_FIRST_LEAVES, self.leaves)
        self.reordered = min(2 * self._found, num_examples)
        builder = load_scann().builder(bank, self._found, "dot_product")
        self._scann = (
            builder.tree(
                self.leaves,
                self.leaves_searched,
                training_sample_size=min(num_examples, 50 * self.leaves),
                training_iterations=4,
            )
            .score_ah(
                4 if dim >= 64 else 2,
                anisotropic_quantization_threshold=0.2,
                training_sample_size=min(num_examples, 10_000),
                training_iterations=4,
            )
            .reorder(self.reordered)
            .build()
        )

    def raise_settings(self) -> bool:
        """Search twice as thoroughly from now on; False where that would be no faster than exactly."""
        most_leaves = min(self.leaves, max(256, self.leaves // 4))
        if self.leaves_searched >= most_leaves:
            return False
        self.leaves_searched = min(2 * self.leaves_searched, most_leaves)
        self.reordered = min(2 * self.reordered, len(self._bank))
        return True

    def search(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int32 [B, n] and float32 [B, n]: each row, then those found, nearest first, -1 for none."""
        found, similarities = self._scann.search_batched_parallel(
            self._bank[rows], self._found, self.reordered, self.leaves_searched
        )
        found = np.where(np.isnan(similarities), -1, found.astype(np.int32))
        # The row itself goes first, wherever it was found; where it was not, the last makes room.
        own = found == rows[:, np.newaxis]
        own[~own.any(axis=1), -1] = True
        order = np.argsort(~own, axis=1, kind="stable")
        found = np.take_along_axis(found, order, axis=1)
        similarities = np.take_along_axis(similarities, order, axis=1)
        found[:, 0] = rows
        similarities[:, 0] = np.einsum("nd,nd->n", self._bank[rows], self._bank[rows])
        return found, similarities


def _complete(bank: np.ndarray, ids: np.ndarray, temperature: float) -> None:
    """Search the rows exactly for which too few others were found."""
    rows = np.flatnonzero((ids < 0).any(axis=1))
    if len(rows):
        ids[rows], _ = search_rows(tf.constant(bank), rows, ids.shape[1], temperature)


def _shared(ids: np.ndarray, others: np.ndarray) -> float:
    """Share of the ids [B, k] that are among the others [B, k] of the same row."""
    return float((ids[:, :, np.newaxis] == others[:, np.newaxis, :]).any(axis=-1).mean())


def _rank_correlation(values: np.ndarray, others: np.ndarray) -> float:
    """Spearman's rank correlation; equal values rank in their order."""
    ranks = [np.argsort(np.argsort(each, kind="stable")) for each in (values, others)]
    return float(np.corrcoef(*ranks)[0, 1])
