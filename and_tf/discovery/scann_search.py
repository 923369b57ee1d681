"""Search with ScaNN, for banks too large to compare all rows with all; checked on a probe of rows.

Its settings come from N. A probe, rows that are searched exactly as well, says whether they reach
the recall and the entropies that they should; if not they are raised until they do, or as far as
makes sense.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from and_tf.discovery.entropy_estimate import EntropyEstimate
from and_tf.discovery.exact_search import Progress
from and_tf.discovery.scann_index import ScannIndexes, num_leaves
from and_tf.discovery.stripes import StripeSearch
from and_tf.distribution.shards import Shards, results_of_all
from and_tf.distribution.workers import ALONE, Workers

RECALL = 0.95
OVERLAP = 0.95
_PROBE_ROWS = 1000
_BATCH = 16384  # rows searched between two words on the progress
_FIRST_SAMPLE, _LARGEST_SAMPLE = 16384, 65536


@dataclasses.dataclass(frozen=True)
class Probe:
    """How a search with ScaNN fared on a random sample of rows that were searched exactly, too.

    Attributes:
        rows: Number of rows in the probe.
        recall: Share of their k nearest rows that were found.
        rank_correlation: Spearman's, of estimated and exact entropy.
        overlap: Of those with the lowest exact entropies, the share that is chosen by the estimate.
        leaves: Parts that ScaNN cut the bank into, its shards together.
        leaves_searched: Parts that it searched for each row.
        reordered: Candidates of a row that were compared exactly, see `ScannIndexes`.
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


def search_with_scann(
    shards: Shards,
    neighbours: int,
    temperature: float,
    seed: int | Sequence[int] = 0,
    anchor_share: float = 0.25,
    progress: Progress = lambda share: None,
    workers: Workers = ALONE,
) -> tuple[np.ndarray, np.ndarray, Probe]:
    """Nearest other rows and entropy of every row, both approximate.

    Args:
        shards: The bank, rows of about unit length.
        neighbours: k, from 1 to N - 1.
        temperature: tau of the entropy.
        seed: Of the probe and of the sample.
        anchor_share: The share of rows of lowest entropy that will be selected.
        progress: Told how far the search is.
        workers: Who search together, whether or not each of them has all rows.

    Returns:
        int32 [N, k] ids; float32 [N] entropies in nats; and what the first worker's probe found.

    Raises:
        ValueError: Rows far from unit length.

    Source: Guo et al., Accelerating Large-Scale Inference with Anisotropic Vector Quantization,
    ICML 2020, for ScaNN; Eq. 1 and Eq. 5 of the AND paper.
    """
    num_examples = shards.num_rows
    random = np.random.default_rng(seed)
    probe_ids = np.sort(random.choice(num_examples, min(_PROBE_ROWS, num_examples), replace=False))
    largest_sample = random.permutation(num_examples)[:_LARGEST_SAMPLE]
    probe_rows = shards.take(probe_ids)
    exact_ids, exact_entropy = StripeSearch(shards, neighbours, temperature)(probe_ids, probe_rows)
    progress(0.02)

    def verdict(*findings: float) -> np.ndarray:
        """The first worker's: no two trainings of ScaNN are alike, and all are to go on alike."""
        return workers.gathered(np.array([findings]))[0]

    searcher = ScannIndexes(shards, neighbours)
    progress(0.1)
    while True:
        nearest, similarities = searcher.search(probe_ids, probe_rows)
        (recall,) = verdict(_shared(exact_ids, nearest[:, 1 : neighbours + 1]))
        if recall >= RECALL or not searcher.raise_settings():
            break

    size = min(_FIRST_SAMPLE, num_examples)
    while True:
        estimate = EntropyEstimate(shards, largest_sample[:size], temperature)
        entropy = estimate(probe_rows, nearest, similarities)
        count = max(1, int(anchor_share * len(probe_ids)))
        overlap, rank_correlation = verdict(
            _shared(
                np.argsort(exact_entropy, kind="stable")[np.newaxis, :count],
                np.argsort(entropy, kind="stable")[np.newaxis, :count],
            ),
            _rank_correlation(exact_entropy, entropy),
        )
        if overlap >= OVERLAP or size == len(largest_sample):
            break
        size = min(2 * size, len(largest_sample))
    probe = Probe(
        rows=len(probe_ids),
        recall=float(recall),
        rank_correlation=float(rank_correlation),
        overlap=float(overlap),
        leaves=sum(map(num_leaves, shards.sizes)),
        leaves_searched=sum(map(searcher.leaves_searched, shards.sizes)),
        reordered=searcher.reordered,
        nearest=nearest.shape[1],
        sample=size,
    )

    own, done = shards.rows_for(workers), 0
    ids = np.empty((len(own), neighbours), np.int32)
    entropies = np.empty(len(own), np.float32)
    for shown, rows, mine in shards.shown(own, _BATCH):
        nearest, similarities = searcher.search(shown, rows, mine)
        batch = slice(done, done + len(nearest))
        ids[batch] = nearest[:, 1 : neighbours + 1]
        entropies[batch] = estimate(rows[mine], nearest, similarities)
        done = batch.stop
        progress(0.1 + 0.9 * done / max(1, len(own)))
    _complete(shards, own, ids, temperature)
    return *results_of_all(workers, own, ids, entropies), probe


def _complete(shards: Shards, own: np.ndarray, ids: np.ndarray, temperature: float) -> None:
    """Search the rows exactly for which too few others were found."""
    incomplete = (ids < 0).any(axis=1)
    rows = shards.holders.gathered(own[incomplete])
    if len(rows):
        found, _ = StripeSearch(shards, ids.shape[1], temperature)(rows, shards.take(rows))
        ids[incomplete] = found[np.isin(rows, own[incomplete])]


def _shared(ids: np.ndarray, others: np.ndarray) -> float:
    """Share of the ids [B, k] that are among the others [B, k] of the same row."""
    return float((ids[:, :, np.newaxis] == others[:, np.newaxis, :]).any(axis=-1).mean())


def _rank_correlation(values: np.ndarray, others: np.ndarray) -> float:
    """Spearman's rank correlation; equal values rank in their order."""
    ranks, other_ranks = (np.argsort(np.argsort(each, kind="stable")) for each in (values, others))
    return float(np.corrcoef(ranks, other_ranks)[0, 1])
