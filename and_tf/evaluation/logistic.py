"""Logistic regression on embeddings: scikit-learn's, with its strength chosen on the training labels."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn import linear_model, model_selection
from sklearn.exceptions import ConvergenceWarning

STRENGTHS = (1.0, 10.0, 100.0, 1000.0, 10_000.0)
"""C among which cross-validation chooses; rows of length one want larger ones than scikit-learn's 1."""
FOLDS = 3
MOST_CHOOSING = 10_000
"""Training rows with which C is chosen; of more, a sample with as many of each class."""


def logistic_accuracy(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
    strength: float | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Accuracy on test rows of a logistic regression that is fitted to training rows.

    Args:
        train: float [N, d].
        labels: int [N], of two classes or more.
        test: float [Q, d].
        test_labels: int [Q].
        strength: C; None chooses among `STRENGTHS` by cross-validation on the training rows, and takes
            10 where a class has too few rows for it.
        seed: Of the folds and the sample.

    Returns:
        The accuracy, and the C that it was reached with.
    """
    if strength is None:
        strength = choose_strength(train, labels, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = linear_model.LogisticRegression(C=strength, max_iter=300).fit(train, labels)
    return float(np.mean(model.predict(test) == test_labels)), float(strength)


def choose_strength(train: np.ndarray, labels: np.ndarray, seed: int = 0) -> float:
    """The C of the highest accuracy in cross-validation; the smallest among equals."""
    if np.bincount(labels)[np.unique(labels)].min() < FOLDS:
        return 10.0
    if len(train) > MOST_CHOOSING:
        train, _, labels, _ = model_selection.train_test_split(
            train, labels, train_size=MOST_CHOOSING, stratify=labels, random_state=seed
        )
    folds = model_selection.StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    means = []
    for strength in STRENGTHS:
        model = linear_model.LogisticRegression(C=strength, max_iter=100)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            means.append(model_selection.cross_val_score(model, train, labels, cv=folds).mean())
    return STRENGTHS[int(np.argmax(means))]
