from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn import metrics

from and_tf.evaluation.clustering import agglomerative, cluster_scores, k_means, matched_accuracy
from tests.evaluation.unit_rows import classes_apart

LABELS = np.random.default_rng(0).integers(0, 4, 60)
CLUSTERS = np.where(np.arange(60) % 3, LABELS, np.random.default_rng(1).integers(0, 5, 60))


def test_matched_accuracy_is_the_best_of_all_assignments():
    best = max(
        np.mean(np.array(classes)[CLUSTERS] == LABELS)
        for classes in itertools.permutations([0, 1, 2, 3, -1])
    )
    assert matched_accuracy(LABELS, CLUSTERS) == pytest.approx(best)


def test_scores_are_those_of_the_labelled_rows():
    labels = np.where(np.arange(60) < 50, LABELS, -1)
    found = cluster_scores(labels, CLUSTERS)
    one, other = LABELS[:50], CLUSTERS[:50]
    assert found == {
        "nmi": pytest.approx(metrics.normalized_mutual_info_score(one, other)),
        "ami": pytest.approx(metrics.adjusted_mutual_info_score(one, other)),
        "ari": pytest.approx(metrics.adjusted_rand_score(one, other)),
        "accuracy": pytest.approx(matched_accuracy(one, other)),
    }
    assert cluster_scores(np.full(60, -1), CLUSTERS) is None


@pytest.mark.parametrize("method", [k_means, agglomerative])
def test_finds_classes_that_lie_apart(method):
    rows, labels = classes_apart(0, 80, noise=0.05)
    assert matched_accuracy(labels, method(rows, 3)) == 1
