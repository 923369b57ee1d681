from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from and_tf.evaluation.knn import knn_scores
from and_tf.exporting.row_bank import RowBank
from and_tf.exporting.rows import Rows

RANDOM = np.random.default_rng(0)
NAMES = ["cat", "dog", "eel"]


def unit(number: int, dim: int = 8) -> np.ndarray:
    rows = RANDOM.normal(size=[number, dim]).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def some_rows(number: int = 40, labelled: float = 0.7) -> Rows:
    labels = RANDOM.integers(0, len(NAMES), number).astype(np.int32)
    labels[RANDOM.random(number) > labelled] = -1
    labels[:3] = range(3)
    return Rows(unit(number), labels, NAMES, [f"{index}.png" for index in range(number)])


def teach(bank: RowBank, rows: np.ndarray, labels: list[int], names: list[str]) -> None:
    taught = bank.taught
    taught["taught_rows"].assign(rows)
    taught["taught_labels"].assign(labels)
    taught["taught_ids"].assign(1000 + np.arange(len(rows)))
    taught["taught_sources"].assign([f"taught {index}" for index in range(len(rows))])
    taught["taught_class_names"].assign(names)


def scores_by_name(answer: dict, query: int) -> dict[str, float]:
    pairs = zip(answer["classes"].numpy()[query], answer["scores"].numpy()[query], strict=True)
    return {name.decode(): float(score) for name, score in pairs}


@pytest.mark.parametrize("neighbours", [1, 7, 200])
@pytest.mark.parametrize("temperature", [0.07, 0.1])
def test_votes_as_the_evaluation_does(neighbours, temperature):
    rows, queries = some_rows(), unit(5)
    answer = RowBank(rows, neighbours, temperature).classify(tf.constant(queries), count=3)
    expected = knn_scores(queries, rows.embeddings, rows.labels, neighbours, temperature, 3)
    for query in range(5):
        found = scores_by_name(answer, query)
        assert list(found.values()) == sorted(found.values(), reverse=True)
        np.testing.assert_allclose([found[name] for name in NAMES], expected[query], atol=1e-6)


def test_nearest_rows():
    rows, queries = some_rows(), unit(5)
    answer = RowBank(rows, 7, 0.1).neighbours(tf.constant(queries), count=6)
    similarities = queries @ rows.embeddings.T
    order = np.argsort(-similarities, axis=1)[:, :6]
    np.testing.assert_array_equal(answer["ids"], order)
    np.testing.assert_allclose(
        answer["similarities"], np.take_along_axis(similarities, order, 1), atol=1e-6
    )
    np.testing.assert_array_equal(answer["label_ids"], rows.labels[order])
    names = np.array([*NAMES, ""], object)[rows.labels[order]]
    np.testing.assert_array_equal(answer["labels"].numpy().astype(str), names)
    np.testing.assert_array_equal(
        answer["sources"].numpy().astype(str), [[f"{i}.png" for i in row] for row in order]
    )
    assert -1 in answer["label_ids"].numpy()


def test_fewer_rows_and_classes_than_asked_for():
    bank = RowBank(some_rows(4), 200, 0.1)
    assert bank.neighbours(tf.constant(unit(2)), count=10)["ids"].shape == (2, 4)
    assert bank.classify(tf.constant(unit(2)), count=5)["classes"].shape == (2, 3)


def test_taught_rows_count_like_stored_ones():
    rows, queries, taught = some_rows(), unit(4), unit(6)
    labels = [0, 1, 2, 3, 4, 4]  # two classes are new
    bank = RowBank(rows, 9, 0.1)
    teach(bank, taught, labels, ["fox", "gnu"])
    both = Rows(
        np.concatenate([rows.embeddings, taught]),
        np.concatenate([rows.labels, labels]).astype(np.int32),
        [*NAMES, "fox", "gnu"],
        [*rows.sources, *(f"taught {index}" for index in range(6))],
    )
    stored = RowBank(both, 9, 0.1)
    queries = tf.concat([queries, taught[3:5]], 0)
    for found, expected in (
        (bank.classify(queries, 5), stored.classify(queries, 5)),
        (bank.neighbours(queries, 7), stored.neighbours(queries, 7)),
    ):
        for name in found:
            wanted = expected[name].numpy()
            if name == "ids":
                wanted = np.where(wanted < 40, wanted, wanted - 40 + 1000)
            if wanted.dtype == np.float32:
                np.testing.assert_allclose(found[name], wanted, atol=1e-6)
            else:
                np.testing.assert_array_equal(found[name], wanted)
    nearest = bank.neighbours(tf.constant(taught[3:5]), 1)
    assert nearest["labels"].numpy().tolist() == [[b"fox"], [b"gnu"]]
    assert nearest["ids"].numpy().tolist() == [[1003], [1004]]


def test_a_bank_without_labels_can_be_taught_some():
    rows = some_rows()
    rows = Rows(rows.embeddings, np.full(40, -1, np.int32), [], rows.sources)
    bank, taught = RowBank(rows, 9, 0.1), unit(2)
    assert set(bank.neighbours(tf.constant(taught), 3)["labels"].numpy().ravel()) == {b""}
    teach(bank, taught, [0, 1], ["fox", "gnu"])
    assert bank.neighbours(tf.constant(taught), 1)["labels"].numpy().tolist() == [
        [b"fox"],
        [b"gnu"],
    ]
