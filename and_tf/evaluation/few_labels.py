"""What few labels are good for: classifiers that are fitted to a small draw of labelled rows."""

from __future__ import annotations

import numpy as np

from and_tf.evaluation.knn import knn_accuracy
from and_tf.evaluation.logistic import logistic_accuracy

STRENGTH = 10.0
"""C of the logistic regression, fixed: few rows cannot be cross-validated."""


def draw(labels: np.ndarray, amount: float, seed: int) -> np.ndarray | None:
    """A random draw of labelled rows, int ascending; the same number of each class, as far as it goes.

    Args:
        labels: int [N], -1 for none.
        amount: An int, rows of each class; a float, a share of the rows of each class, at least one.
        seed: Of the draw.

    Returns:
        None where no class has more rows than were asked for: nothing is left to draw from.
    """
    generator = np.random.default_rng(seed)
    chosen, leaves = [], False
    for label in np.unique(labels[labels >= 0]):
        rows = np.flatnonzero(labels == label)
        count = amount if isinstance(amount, int) else max(1, round(amount * len(rows)))
        leaves |= count < len(rows)
        chosen.append(generator.permutation(rows)[:count])
    return np.sort(np.concatenate(chosen)) if leaves else None


def prototype_accuracy(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> float:
    """Accuracy of the class whose mean embedding, at unit length, is the most similar.

    Args:
        train: float [N, d], unit rows.
        labels: int [N].
        test: float [Q, d].
        test_labels: int [Q].

    Source: Snell et al., NeurIPS 2017, Eq. 1, on the unit sphere.
    """
    classes, numbers = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(classes), train.shape[1]))
    np.add.at(sums, numbers, train)
    means = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return float(np.mean(classes[(test @ means.T).argmax(axis=1)] == test_labels))


def few_label_accuracies(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
    neighbours: int = 200,
    temperature: float = 0.1,
) -> dict[str, float]:
    """Accuracies on test rows of `knn`, `prototypes` and `logistic`, from the labelled rows given.

    Args:
        train: float [N, d], unit rows.
        labels: int [N], of two classes or more, none negative.
        test: float [Q, d], unit rows.
        test_labels: int [Q], none negative.
        neighbours, temperature: Of kNN.
    """
    knn = knn_accuracy(test, test_labels, train, labels, neighbours, temperature)
    logistic, _ = logistic_accuracy(train, labels, test, test_labels, STRENGTH)
    return {
        "knn": float(knn or 0.0),
        "prototypes": prototype_accuracy(train, labels, test, test_labels),
        "logistic": logistic,
    }
