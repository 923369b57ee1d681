"""The curriculum: which round an epoch belongs to, who is an anchor in it, how fast it learns."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Curriculum:
    """The schedule of rounds: round 0 learns instances, rounds 1..R learn neighbourhoods.

    Args:
        rounds: R, the number of rounds with neighbourhoods. 0 is instance learning alone.
        epochs_per_round: Epochs of each of the rounds 1..R.
        initial_epochs: Epochs of round 0. Default: `epochs_per_round`.

    Raises:
        ValueError: A negative number of rounds or a round without epochs.
    """

    rounds: int
    epochs_per_round: int
    initial_epochs: int | None = None

    def __post_init__(self) -> None:
        if self.rounds < 0 or self.epochs_per_round < 1 or self.epochs_of(0) < 1:
            raise ValueError(
                "A curriculum needs rounds >= 0 and at least one epoch in each round. "
                f"Received: rounds={self.rounds}, epochs_per_round={self.epochs_per_round}, "
                f"initial_epochs={self.initial_epochs}"
            )

    @property
    def total_epochs(self) -> int:
        """Epochs of all rounds together."""
        return self.epochs_of(0) + self.rounds * self.epochs_per_round

    def round_of(self, epoch: int) -> int:
        """The round that an epoch (counted from 0) belongs to; epochs past the end are in R."""
        if epoch < self.epochs_of(0):
            return 0
        return min(self.rounds, 1 + (epoch - self.epochs_of(0)) // self.epochs_per_round)

    def first_epoch(self, round_index: int) -> int:
        """The epoch (counted from 0) that a round starts with."""
        if round_index == 0:
            return 0
        return self.epochs_of(0) + (round_index - 1) * self.epochs_per_round

    def epochs_of(self, round_index: int) -> int:
        """How many epochs a round has."""
        if round_index == 0 and self.initial_epochs is not None:
            return self.initial_epochs
        return self.epochs_per_round

    def ends_round(self, epoch: int) -> bool:
        """Whether a round is over after this epoch (counted from 0)."""
        round_index = self.round_of(epoch)
        return epoch + 1 == self.first_epoch(round_index) + self.epochs_of(round_index)

    def ends_of_rounds(self) -> range:
        """How many epochs are over at the end of each round."""
        return range(self.epochs_of(0), self.total_epochs + 1, self.epochs_per_round)

    def learning_rate(
        self, epoch: int, initial: float, drops: Sequence[float] = (0.6, 0.8), factor: float = 0.1
    ) -> float:
        """The learning rate of an epoch: it starts anew in every round and drops inside it.

        Args:
            epoch: Epoch, counted from 0 over all rounds.
            initial: The rate that each round starts with.
            drops: Fractions of a round after which the rate is multiplied by `factor`. With rounds
                of 200 epochs the default drops it at epochs 120 and 160, as the authors' code does.
            factor: What each drop multiplies by.
        """
        round_index = self.round_of(epoch)
        epochs = self.epochs_of(round_index)
        epoch_in_round = epoch - self.first_epoch(round_index)
        # The tolerance keeps 0.6 * 15 = 9.000000000000002 from moving the drop to epoch 10.
        passed = sum(epoch_in_round >= math.ceil(drop * epochs - 1e-9) for drop in drops)
        return initial * factor**passed

    def cosine_learning_rate(self, epoch: int, initial: float, warmup_epochs: int = 0) -> float:
        """The learning rate of an epoch on one half-wave over all rounds, from `initial` to nearly 0.

        Args:
            epoch: Epoch, counted from 0 over all rounds.
            initial: The highest rate.
            warmup_epochs: Epochs at the start over which the rate rises in equal steps.

        Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR
        2017, Eq. 5, with one period; the warm-up as in Goyal et al., "Accurate, large minibatch SGD",
        2017, section 2.2, by epochs.
        """
        if epoch < warmup_epochs:
            return initial * (epoch + 1) / (warmup_epochs + 1)
        share = (epoch - warmup_epochs) / max(1, self.total_epochs - warmup_epochs)
        return initial * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def select_anchors(entropy: np.ndarray, round_index: int, rounds: int) -> np.ndarray:
    """The anchors of a round: the floor(N r / R) examples of lowest entropy.

    Args:
        entropy: float [N], nats.
        round_index: r, from 0 to R.
        rounds: R.

    Returns:
        int64 ids, ascending. Equal entropies are taken in the order of their ids.

    Raises:
        ValueError: r is not between 0 and R.

    Source: Eq. 6 of the AND paper.
    """
    if not 0 <= round_index <= rounds:
        raise ValueError(
            f"The round must be between 0 and {rounds}. Received: round_index={round_index}"
        )
    count = len(entropy) * round_index // rounds if rounds else 0
    return np.sort(np.argsort(entropy, kind="stable")[:count])
