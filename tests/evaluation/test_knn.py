from __future__ import annotations

import numpy as np
import pytest

from and_tf.evaluation.knn import knn_accuracy, knn_scores


def unit_rows(seed: int, shape: tuple[int, int]) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=shape)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def naive_scores(queries, rows, labels, neighbours, temperature, num_classes):
    scores = np.zeros((len(queries), num_classes))
    for query, score in zip(queries, scores, strict=True):
        similarities = rows @ query
        for j in np.argsort(-similarities)[:neighbours]:
            score[labels[j]] += np.exp(similarities[j] / temperature)
        score /= score.sum()
    return scores


QUERIES, ROWS = unit_rows(0, (13, 6)), unit_rows(1, (40, 6))
LABELS = np.random.default_rng(2).integers(0, 4, 40)


@pytest.mark.parametrize("neighbours", [1, 7, 40])
@pytest.mark.parametrize("temperature", [0.02, 0.1])
@pytest.mark.parametrize("block_size", [4, 256])
def test_agrees_with_the_formula(neighbours, temperature, block_size):
    found = knn_scores(QUERIES, ROWS, LABELS, neighbours, temperature, 5, block_size=block_size)
    expected = naive_scores(QUERIES, ROWS, LABELS, neighbours, temperature, 5)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not found[:, 4].any()  # a class without rows


def test_more_neighbours_than_rows_is_all_rows():
    found = knn_scores(QUERIES, ROWS, LABELS, 1000, 0.1)
    np.testing.assert_allclose(found, naive_scores(QUERIES, ROWS, LABELS, 40, 0.1, 4), atol=1e-5)


def test_rows_without_a_label_have_no_vote():
    labels = np.where(np.arange(40) % 2, LABELS, -1)
    expected = naive_scores(QUERIES, ROWS[1::2], LABELS[1::2], 5, 0.1, 4)
    np.testing.assert_allclose(knn_scores(QUERIES, ROWS, labels, 5, 0.1, 4), expected, atol=1e-5)


def test_a_row_can_be_kept_from_voting_on_itself():
    found = knn_scores(ROWS, ROWS, LABELS, 5, 0.1, 4, exclude_self=True, block_size=7)
    for i in range(40):
        others = np.arange(40) != i
        expected = naive_scores(ROWS[i : i + 1], ROWS[others], LABELS[others], 5, 0.1, 4)
        np.testing.assert_allclose(found[i : i + 1], expected, atol=1e-5)


def test_accuracy_counts_labelled_queries_only():
    truth = knn_scores(QUERIES, ROWS, LABELS, 5, 0.1).argmax(axis=1)
    assert knn_accuracy(QUERIES, truth, ROWS, LABELS, 5) == 1
    truth[0] = (truth[0] + 1) % 4
    assert knn_accuracy(QUERIES, truth, ROWS, LABELS, 5) == pytest.approx(12 / 13)
    truth[1:4] = -1
    assert knn_accuracy(QUERIES, truth, ROWS, LABELS, 5) == pytest.approx(9 / 10)
    assert knn_accuracy(QUERIES, np.full(13, -1), ROWS, LABELS, 5) is None


def test_refuses_labels_that_do_not_fit():
    with pytest.raises(ValueError, match="Received: 40 rows, 3 labels"):
        knn_scores(QUERIES, ROWS, LABELS[:3], 5, 0.1)
    with pytest.raises(ValueError, match="Received: 0 labelled rows"):
        knn_scores(QUERIES, ROWS, np.full(40, -1), 5, 0.1)


@pytest.mark.parametrize("neighbours", [1, 5, 40])
@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize("block_size", [4, 256])
def test_accuracy_is_that_of_the_highest_score(neighbours, exclude_self, block_size):
    labels = np.where(np.arange(40) % 5, LABELS, -1)
    queries, truth = (ROWS, labels) if exclude_self else (QUERIES, LABELS[:13])
    scores = knn_scores(queries, ROWS, labels, neighbours, 0.1, 4, exclude_self)
    expected = np.mean((scores.argmax(axis=1) == truth)[truth >= 0])
    options = {"exclude_self": exclude_self, "block_size": block_size}
    found = knn_accuracy(queries, truth, ROWS, labels, neighbours, 0.1, **options)
    assert found == pytest.approx(expected)


def test_equal_votes_are_the_first_class():
    rows = np.eye(4)[[0, 0, 1, 1]]
    assert knn_accuracy(np.eye(4)[2:3], [3], rows, [7, 3, 3, 7], 4) == 1


@pytest.mark.parametrize(
    "names",
    [
        np.array([3, 2**62, 17, 10**15]),
        np.array([3, 2**63, 17, 2**64 - 1], np.uint64),
        np.array(["b", "a", "ü", "long name"]),
        np.array(["b", "a", "ü", "long name"], object),
        np.array([b"b", b"a", b"\xff", b"c"]),
    ],
)
def test_any_integers_or_strings_are_labels(names):
    missing = (
        -1 if names.dtype.kind == "i" else type(names[0])() if names.dtype.kind in "USO" else 5
    )
    labels, truth = names[LABELS], names[LABELS[:13]]
    expected = knn_accuracy(QUERIES, LABELS[:13], ROWS, LABELS, 1)
    assert 0 < expected < 1
    assert knn_accuracy(QUERIES, truth, ROWS, labels, 1) == pytest.approx(expected)
    if names.dtype.kind != "u":
        labels[::2] = missing
        some = np.where(np.arange(40) % 2, LABELS, -1)
        expected = knn_accuracy(QUERIES, LABELS[:13], ROWS, some, 1)
        assert knn_accuracy(QUERIES, truth, ROWS, labels, 1) == pytest.approx(expected)


def test_refuses_other_labels():
    with pytest.raises(ValueError, match="integers or strings.*float64"):
        knn_accuracy(QUERIES, LABELS[:13], ROWS, LABELS.astype(float))
    with pytest.raises(ValueError, match="Received: both"):
        knn_accuracy(QUERIES, LABELS[:13], ROWS, LABELS.astype(str))
