"""Judging embeddings: weighted kNN, and how good neighbourhoods are.

Every function takes arrays and returns numbers or arrays. Nothing here knows of models, image sets or
runs, so that embeddings from anywhere can be judged.

Other rooms use `knn`, `known_labels` and `neighbourhood_quality`.
"""

from __future__ import annotations

from and_tf.evaluation.knn import knn_accuracy, knn_scores
from and_tf.evaluation.neighbourhood_quality import consistency, embedding_spread

__all__ = ["consistency", "embedding_spread", "knn_accuracy", "knn_scores"]
