"""The rows that an export compares with, as a part of its graph."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from and_tf.exporting.rows import Rows


class RowBank(tf.Module):
    """Stored rows and taught ones, and weighted kNN over both.

    The taught rows are variables of a relaxed first dimension, empty in the export. A server that
    can be taught assigns them, all five together; any other server sees them empty.

    Args:
        rows: What is stored.
        vote_neighbours: K, how many labelled rows vote.
        vote_temperature: Of the vote.
    """

    def __init__(self, rows: Rows, vote_neighbours: int, vote_temperature: float) -> None:
        super().__init__()
        self.num_rows = len(rows)
        self._class_names = rows.class_names
        self._vote_neighbours = vote_neighbours
        self._vote_temperature = vote_temperature
        self._rows = _stored("rows", rows.embeddings, tf.float32)
        self._labels = _stored("labels", rows.labels, tf.int32)
        self._sources = _stored("sources", rows.sources, tf.string)
        dim = rows.embeddings.shape[1]
        self.taught = {
            "taught_rows": _empty("taught_rows", tf.float32, dim),
            "taught_labels": _empty("taught_labels", tf.int32),
            "taught_ids": _empty("taught_ids", tf.int64),
            "taught_sources": _empty("taught_sources", tf.string),
            "taught_class_names": _empty("taught_class_names", tf.string),
        }

    def neighbours(self, embeddings: tf.Tensor, count: int) -> dict[str, tf.Tensor]:
        """The nearest rows, nearest first.

        Args:
            embeddings: float32 [B, d], unit vectors.
            count: k; fewer where there are fewer rows.

        Returns:
            `ids` int64, `similarities` float32 (cosines), `labels` string ("" where there is none),
            `label_ids` int32 (-1 where there is none) and `sources` string, all [B, k].
        """
        similarities = self._similarities(embeddings)
        nearest, places = tf.math.top_k(similarities, tf.minimum(count, tf.shape(similarities)[1]))
        label_ids = tf.gather(self._all_labels(), places)
        names = self._all_class_names()
        unlabelled = label_ids < 0
        return {
            "ids": self._stored_or_taught(
                tf.cast(places, tf.int64), self.taught["taught_ids"], places
            ),
            "similarities": nearest,
            "labels": tf.gather(
                tf.concat([names, [""]], 0), tf.where(unlabelled, tf.size(names), label_ids)
            ),
            "label_ids": tf.where(unlabelled, -1, label_ids),
            "sources": self._stored_or_taught(
                tf.gather(self._sources, tf.minimum(places, self.num_rows - 1)),
                self.taught["taught_sources"],
                places,
            ),
        }

    def classify(self, embeddings: tf.Tensor, count: int) -> dict[str, tf.Tensor]:
        """The classes that the nearest labelled rows vote for, highest score first.

        Each votes with weight exp(similarity / temperature), see `and_tf.evaluation.knn`.

        Args:
            embeddings: float32 [B, d], unit vectors.
            count: k; fewer where there are fewer classes.

        Returns:
            `classes` string [B, k], `scores` float32 [B, k]; the scores of all classes sum to one.
        """
        labels, names = self._all_labels(), self._all_class_names()
        has_vote = labels >= 0
        similarities = tf.where(has_vote, self._similarities(embeddings), -float("inf"))
        voters = tf.math.count_nonzero(has_vote, dtype=tf.int32)
        nearest, places = tf.math.top_k(similarities, tf.minimum(self._vote_neighbours, voters))
        weights = tf.nn.softmax(nearest / self._vote_temperature, axis=-1)
        batch, classes = tf.shape(embeddings)[0], tf.size(names)
        # Not one-hot: that would be a number for each of batch x K x classes.
        votes = tf.gather(labels, places) + tf.range(batch)[:, tf.newaxis] * classes
        scores = tf.math.unsorted_segment_sum(weights, votes, batch * classes)
        scores = tf.reshape(scores, [batch, classes])
        highest, class_ids = tf.math.top_k(scores, tf.minimum(count, classes))
        return {"classes": tf.gather(names, class_ids), "scores": highest}

    def _similarities(self, embeddings: tf.Tensor) -> tf.Tensor:
        """Cosine of each embedding and each row, the stored ones first, [B, N + T]."""
        parts = [
            tf.matmul(embeddings, rows, transpose_b=True)
            for rows in (self._rows, self.taught["taught_rows"])
        ]
        return tf.concat(parts, axis=1)

    def _all_labels(self) -> tf.Tensor:
        return tf.concat([self._labels, self.taught["taught_labels"]], 0)

    def _all_class_names(self) -> tf.Tensor:
        exported = tf.constant(self._class_names, tf.string, [len(self._class_names)])
        return tf.concat([exported, self.taught["taught_class_names"]], 0)

    def _stored_or_taught(
        self, stored: tf.Tensor, taught: tf.Variable, places: tf.Tensor
    ) -> tf.Tensor:
        """What belongs to the rows at `places`, without copying what belongs to all stored ones."""
        filler = tf.zeros([1], taught.dtype)  # there may be none to gather from
        of_taught = tf.gather(tf.concat([taught, filler], 0), tf.maximum(places - self.num_rows, 0))
        return tf.where(places < self.num_rows, stored, of_taught)


def _stored(name: str, values: np.ndarray | list[str], dtype: tf.DType) -> tf.Variable:
    return tf.Variable(values, dtype=dtype, trainable=False, name=name)


def _empty(name: str, dtype: tf.DType, *sides: int) -> tf.Variable:
    return tf.Variable(
        tf.zeros([0, *sides], dtype), trainable=False, name=name, shape=[None, *sides]
    )
