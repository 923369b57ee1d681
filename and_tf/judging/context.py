"""What several parts of an evaluation need, computed once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from and_tf.discovery.neighbourhoods import Neighbourhoods, discover
from and_tf.judging.findings import NothingToMeasure
from and_tf.judging.subject import Subject

NEIGHBOURS = 10
SEED = 0


@dataclasses.dataclass
class Context:
    """A subject, and what is known of it so far.

    Attributes:
        subject: What is judged.
        progress: Told the share of the current part that is done, from 0 to 1.
    """

    subject: Subject
    progress: Callable[[float], None] = lambda share: None

    @functools.cached_property
    def neighbourhoods(self) -> Neighbourhoods:
        """Each training example's nearest others, and its entropy.

        Raises:
            NothingToMeasure: There is one example alone.
        """
        x = self.subject.train.embeddings
        if len(x) < 2:
            raise NothingToMeasure("there is one training image alone")
        count = min(NEIGHBOURS, len(x) - 1)
        return discover(x, count, self.subject.temperature, progress=self.progress)

    @functools.cached_property
    def similarities(self) -> np.ndarray:
        """Cosines of each training example and its `neighbourhoods`, float32 [N, k]."""
        x, ids = self.subject.train.embeddings, self.neighbourhoods.neighbours
        columns = [np.einsum("nd,nd->n", x, x[ids[:, place]]) for place in range(ids.shape[1])]
        return np.stack(columns, axis=1)

    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels of the training examples and of those that are classified, -1 for none.

        Raises:
            NothingToMeasure: There are none, or they are all of one class.
        """
        train, judged = self.subject.train, self.subject.judged
        if train.labels is None:
            raise NothingToMeasure("no training image has a label")
        if judged.labels is None:
            raise NothingToMeasure("no test image has a label")
        classes = np.unique(train.labels[train.labels >= 0])
        if len(classes) == 1:
            raise NothingToMeasure("all labelled training images are of one class")
        if not np.isin(judged.labels, classes).any():
            raise NothingToMeasure("no test image is of a class that a training image has")
        return train.labels, judged.labels

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the training part to fit to, and rows of the judged part to test on; all labelled.

        Without test images every fifth labelled training image is kept for the test.
        """
        labels, judged = self.labels()
        fit, test = np.flatnonzero(labels >= 0), np.flatnonzero(judged >= 0)
        if self.subject.test is None:
            order = np.random.default_rng(SEED).permutation(fit)
            cut = max(1, len(order) // 5)
            fit, test = np.sort(order[cut:]), np.sort(order[:cut])
            if len(np.unique(labels[fit])) < 2:
                raise NothingToMeasure("too few training images have a label")
        return fit, test
