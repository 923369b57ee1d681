"""Judging embeddings: kNN, clusters, retrieval, linear classifiers, and measures without labels.

Every function takes arrays and returns numbers or arrays. Nothing here knows of models, image sets or
runs, so that embeddings from anywhere can be judged.

Other rooms use `clustering`, `entropy_order`, `few_labels`, `knn`, `knn_grid`, `known_labels`,
`label_free`, `linear_probes`, `logistic`, `nearest`, `neighbourhood_quality`, `pooling` and
`retrieval`.
"""

from __future__ import annotations

from and_tf.evaluation.knn import knn_accuracy, knn_scores
from and_tf.evaluation.neighbourhood_quality import consistency, embedding_spread

__all__ = ["consistency", "embedding_spread", "knn_accuracy", "knn_scores"]
