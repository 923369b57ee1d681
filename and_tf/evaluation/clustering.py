"""Clusters of embeddings, and how well they are the classes."""

from __future__ import annotations

import numpy as np
from scipy import optimize, sparse
from sklearn import cluster, metrics

from and_tf.evaluation.known_labels import numbered


def k_means(embeddings: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """The cluster of each row, int [N], by the best of four k-means.

    Args:
        embeddings: float [N, d].
        count: Clusters, N at most.
        seed: Of the first centres.
    """
    means = cluster.KMeans(count, n_init=4, random_state=seed)
    return means.fit_predict(np.asarray(embeddings, np.float32))


def agglomerative(embeddings: np.ndarray, count: int) -> np.ndarray:
    """The cluster of each row, int [N], by Ward's linkage; memory grows with N^2.

    Args:
        embeddings: float [N, d], N from 2.
        count: Clusters, N at most.
    """
    return cluster.AgglomerativeClustering(count, linkage="ward").fit_predict(embeddings)


def cluster_scores(labels: np.ndarray, clusters: np.ndarray) -> dict[str, float] | None:
    """How well clusters are the classes.

    Args:
        labels: integers or strings [N]; rows without a label (negative, "") do not count.
        clusters: int [N].

    Returns:
        `nmi` and `ami`, normalised and adjusted mutual information (arithmetic mean); `ari`, adjusted
        Rand index; `accuracy`, where each cluster is given to one class so that most rows fit. None
        where no row has a label.
    """
    (labels,) = numbered(labels)
    labels, clusters = labels[labels >= 0], np.asarray(clusters)[labels >= 0]
    if not len(labels):
        return None
    return {
        "nmi": float(metrics.normalized_mutual_info_score(labels, clusters)),
        "ami": float(metrics.adjusted_mutual_info_score(labels, clusters)),
        "ari": float(metrics.adjusted_rand_score(labels, clusters)),
        "accuracy": matched_accuracy(labels, clusters),
    }


def matched_accuracy(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Share of rows in the cluster of their class, each cluster standing for one class at most.

    Args:
        labels, clusters: int [N], from 0 on.

    Source: Kuhn-Munkres matching, as Xie et al., ICML 2016, section 4.2 evaluate.
    """
    ones = np.ones(len(labels), np.int64)
    table = sparse.coo_array((ones, (labels, clusters))).toarray()
    rows, columns = optimize.linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / len(labels))
