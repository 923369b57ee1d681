from __future__ import annotations

import numpy as np
import pytest

from and_tf.evaluation.knn import knn_accuracy
from and_tf.evaluation.knn_grid import confusion, knn_grid, mean_class_accuracy
from tests.evaluation.unit_rows import classes_apart, unit_rows

ROWS, LABELS = classes_apart(0, 60, classes=9, noise=0.6)
QUERIES, TRUTH = classes_apart(1, 25, classes=9, noise=0.6)


def naive_ranking(query, rows, labels, count, temperature):
    """Classes that have a vote, best first, the lowest number among equals."""
    similarities = rows @ query
    votes: dict[int, float] = {}
    for j in sorted(range(len(rows)), key=lambda j: -similarities[j])[:count]:
        votes[labels[j]] = votes.get(labels[j], 0) + np.exp(similarities[j] / temperature)
    return sorted(votes, key=lambda label: (-votes[label], label))


@pytest.mark.parametrize("exclude_self", [False, True])
def test_agrees_with_a_loop(exclude_self):
    queries, truth = (ROWS, LABELS) if exclude_self else (QUERIES, TRUTH)
    found = knn_grid(queries, truth, ROWS, LABELS, (1, 7, 30), (0.07, 0.5), exclude_self)
    for i, count in enumerate(found.neighbours):
        for j, temperature in enumerate(found.temperatures):
            rankings = []
            for number, query in enumerate(queries):
                left = np.arange(len(ROWS)) != (number if exclude_self else -1)
                ranking = naive_ranking(query, ROWS[left], LABELS[left], count, temperature)
                rankings.append(ranking)
            top1 = np.mean([ranking[0] == t for ranking, t in zip(rankings, truth, strict=True)])
            top5 = np.mean([t in ranking[:5] for ranking, t in zip(rankings, truth, strict=True)])
            assert found.top1[i, j] == pytest.approx(top1)
            assert found.top5[i, j] == pytest.approx(top5)
            assert found.chosen[i, j].tolist() == [ranking[0] for ranking in rankings]
    own = knn_accuracy(queries, truth, ROWS, LABELS, 7, 0.07, exclude_self)
    assert found.top1[1, 0] == pytest.approx(own)


def test_rows_and_queries_without_a_label_do_not_count():
    labels = np.where(np.arange(60) % 3, LABELS, -1)
    truth = np.where(np.arange(25) % 2, TRUTH, -1)
    found = knn_grid(QUERIES, truth, ROWS, labels, (5,))
    kept = labels >= 0
    wanted = knn_grid(QUERIES[1::2], TRUTH[1::2], ROWS[kept], labels[kept], (5,))
    np.testing.assert_array_equal(found.chosen, wanted.chosen)
    np.testing.assert_array_equal(found.top5, wanted.top5)


def test_more_neighbours_than_voters_is_all_voters():
    found = knn_grid(QUERIES, TRUTH, ROWS, LABELS, (1, 50, 60, 100, 200))
    assert found.neighbours == (1, 50, 60)


def test_refuses_what_has_nothing_to_vote():
    with pytest.raises(ValueError, match="Received: 25 and 0"):
        knn_grid(QUERIES, TRUTH, ROWS, np.full(60, -1))
    with pytest.raises(ValueError, match="Received: 1 and 1"):
        knn_grid(unit_rows(0, 1), np.array([0]), unit_rows(0, 1), np.array([0]), exclude_self=True)


def test_confusion_and_the_mean_over_classes():
    table = confusion(np.array([0, 0, 0, 2]), np.array([0, 0, 1, 2]), 4)
    np.testing.assert_array_equal(table[:3], [[2, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]])
    assert mean_class_accuracy(table) == pytest.approx((2 / 3 + 1) / 2)
