"""What the parts of a report look at: neighbours, entropies, clusters and layouts, each computed once."""

from __future__ import annotations

import functools

import numpy as np

from and_tf.evaluation.clustering import k_means
from and_tf.evaluation.knn import knn_scores
from and_tf.judging.context import Context
from and_tf.judging.subject import Part, Subject
from and_tf.reporting.layouts import MOST_PLACED

CLUSTERS_WITHOUT_LABELS = 10


class Gathered:
    """What is found of a subject, once it is asked for.

    Args:
        subject: With images.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.context = Context(subject)
        self.train: Part = subject.train
        self.labels = subject.train.labels

    @property
    def neighbours(self) -> np.ndarray:
        """Ids of the training images nearest to each, int [N, k] (Eq. 1)."""
        return self.context.neighbourhoods.neighbours

    @property
    def similarities(self) -> np.ndarray:
        """Their similarities, float32 [N, k]."""
        return self.context.similarities

    @property
    def entropy(self) -> np.ndarray:
        """Entropy in nats of each training image, float32 [N] (Eq. 5)."""
        return self.context.neighbourhoods.entropy

    @functools.cached_property
    def clusters(self) -> np.ndarray:
        """The k-means cluster of each training image, int [N], the largest is 0; as many as classes."""
        classes = 0 if self.labels is None else len(np.unique(self.labels[self.labels >= 0]))
        count = classes if classes > 1 else CLUSTERS_WITHOUT_LABELS
        found = k_means(self.train.embeddings, min(count, len(self.train)))
        ranks = np.argsort(np.argsort(-np.bincount(found), kind="stable"))
        return ranks[found]

    @functools.cached_property
    def predictions(self) -> np.ndarray | None:
        """The class that kNN gives each judged image, int [Q]; None without labels."""
        subject, judged = self.subject, self.subject.judged
        if self.labels is None or judged.labels is None:
            return None
        config = subject.config
        scores = knn_scores(
            judged.embeddings,
            self.train.embeddings,
            self.labels,
            200 if config is None else config.evaluation.knn_neighbours,
            0.1 if config is None else config.evaluation.knn_temperature,
            exclude_self=subject.test is None,
        )
        return scores.argmax(axis=1)

    @functools.cached_property
    def placed(self) -> np.ndarray:
        """The training images of the map, ascending: all, or a random draw of `MOST_PLACED`."""
        count = len(self.train)
        if count <= MOST_PLACED:
            return np.arange(count)
        return np.sort(np.random.default_rng(0).choice(count, MOST_PLACED, replace=False))

    def name_of(self, label: int) -> str:
        """A label's name."""
        return "none" if label < 0 else self.subject.name_of_class(int(label))

    def agreement(self, ids: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Whether others [m, k] are of the class of ids [m]: 1 or 0, -1 where that is not known."""
        if self.labels is None:
            return np.full(others.shape, -1)
        own, their = self.labels[ids][:, None], self.labels[others]
        return np.where((own >= 0) & (their >= 0), own == their, -1).astype(int)
