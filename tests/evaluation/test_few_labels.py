from __future__ import annotations

import numpy as np
import pytest
from sklearn import linear_model

from and_tf.evaluation.few_labels import draw, few_label_accuracies, prototype_accuracy
from and_tf.evaluation.knn import knn_accuracy
from and_tf.evaluation.logistic import STRENGTHS, choose_strength, logistic_accuracy
from tests.evaluation.unit_rows import classes_apart

ROWS, LABELS = classes_apart(0, 200, noise=0.6)
TEST, TRUTH = classes_apart(1, 100, noise=0.6)


def test_a_draw_has_as_many_of_each_class():
    labels = np.repeat([0, 1, 2, -1], [100, 40, 3, 9])
    for amount, counts in ((5, [5, 5, 3]), (0.1, [10, 4, 1]), (1, [1, 1, 1])):
        chosen = draw(labels, amount, seed=0)
        assert np.bincount(labels[chosen]).tolist() == counts
        np.testing.assert_array_equal(chosen, draw(labels, amount, seed=0))
        assert not np.array_equal(chosen, draw(labels, amount, seed=1))
    assert draw(labels, 100, seed=0) is None


def test_prototypes_are_the_mean_directions():
    means = [ROWS[LABELS == label].mean(axis=0) for label in range(3)]
    means = [mean / np.linalg.norm(mean) for mean in means]
    chosen = [int(np.argmax([row @ mean for mean in means])) for row in TEST]
    assert prototype_accuracy(ROWS, LABELS, TEST, TRUTH) == np.mean(chosen == TRUTH)


def test_all_three_classifiers():
    found = few_label_accuracies(ROWS, LABELS, TEST, TRUTH, 20)
    model = linear_model.LogisticRegression(C=10).fit(ROWS, LABELS)
    assert found == {
        "knn": knn_accuracy(TEST, TRUTH, ROWS, LABELS, 20),
        "prototypes": prototype_accuracy(ROWS, LABELS, TEST, TRUTH),
        "logistic": pytest.approx(model.score(TEST, TRUTH), abs=0.011),
    }


def test_the_strength_is_chosen_on_training_labels_alone():
    accuracy, strength = logistic_accuracy(ROWS, LABELS, TEST, TRUTH)
    assert strength in STRENGTHS and strength == choose_strength(ROWS, LABELS)
    assert accuracy == logistic_accuracy(ROWS, LABELS, TEST, TRUTH, strength)[0]
    shuffled = np.random.default_rng(0).permutation(TRUTH)
    assert logistic_accuracy(ROWS, LABELS, TEST, shuffled)[1] == strength
    assert choose_strength(ROWS[:4], np.array([0, 0, 1, 1])) == 10
