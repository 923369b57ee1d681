from __future__ import annotations

import numpy as np
import pytest

from and_tf.evaluation.nearest import nearest
from and_tf.evaluation.retrieval import near_duplicates, outliers, retrieval
from tests.evaluation.unit_rows import classes_apart, unit_rows


def naive(rows, labels, counts):
    recalls, precisions = {count: [] for count in counts}, []
    for i, row in enumerate(rows):
        others = [j for j in range(len(rows)) if j != i]
        order = sorted(others, key=lambda j: -float(rows[j] @ row))
        total = sum(labels[j] == labels[i] for j in others)
        if not total:
            continue
        hits = [labels[j] == labels[i] for j in order]
        for count in counts:
            recalls[count].append(any(hits[:count]))
        precision = [sum(hits[: k + 1]) / (k + 1) for k in range(total) if hits[k]]
        precisions.append(sum(precision) / total)
    return {f"recall@{count}": np.mean(recalls[count]) for count in counts} | {
        "map@r": np.mean(precisions)
    }


def test_agrees_with_a_loop():
    rows, labels = classes_apart(0, 50, noise=0.6)
    labels[7] = 3  # alone in its class
    found = retrieval(rows, labels, (1, 5))
    assert found == pytest.approx(naive(rows, labels, (1, 5)))
    with_unlabelled = np.concatenate([labels, np.full(9, -1)])
    more = np.concatenate([rows, unit_rows(5, 9)])
    assert retrieval(more, with_unlabelled, (1, 5)) == pytest.approx(found)
    assert retrieval(rows, np.arange(50)) is None
    assert retrieval(rows, np.full(50, -1)) is None


def test_odd_rows():
    rows = np.concatenate([unit_rows(0, 30), unit_rows(0, 2), -unit_rows(0, 30).mean(0)[None]])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    ids, similarities = nearest(rows, rows, 2, np.arange(33))
    pairs = near_duplicates(ids, similarities)
    assert [(a, b) for a, b, _ in pairs] == [(0, 30), (1, 31)]
    assert all(value == pytest.approx(1, abs=1e-5) for *_, value in pairs)
    found = outliers(similarities[:, 0], 3)
    assert found.tolist() == np.argsort(similarities[:, 0])[:3].tolist()
