"""Two views of each image: each is to find the other among all views of the batch."""

from __future__ import annotations

import tensorflow as tf

SECOND = 1 << 27
"""What is added to an example's epoch where its second view is drawn, so that no draw is made twice:
half of the epochs that a draw's counter tells apart, see `and_tf.data.threefry`."""


def two_view_losses(
    first: tf.Tensor,
    second: tf.Tensor,
    ids: tf.Tensor,
    neighbour_rows: tf.Tensor,
    neighbours: tf.Tensor,
    temperature: float,
) -> tf.Tensor:
    """Minus the log of the probability that a view's partner is the other view, or a neighbour.

    For the view a_i of example i, the candidates are the batch's other views w, those of i's neighbours
    left out, and the bank's rows v_j of the neighbours. The loss is

        -log [(exp(a_i . b_i / tau) + sum_j exp(a_i . v_j / tau)) /
              (sum_w exp(a_i . w / tau) + sum_j exp(a_i . v_j / tau))],

    for b_i likewise, and for example i the mean of both. Gradients flow through all views, and none
    through the rows. Without neighbours this is SimCLR's NT-Xent.

    Args:
        first, second: float32 [B, d], unit embeddings of the two views of each example.
        ids: int [B], of the examples.
        neighbour_rows: float32 [B, k, d], the bank's rows of `neighbours`; those of padding may be
            anything finite.
        neighbours: int [B, k], ids; a negative one is padding.
        temperature: tau.

    Returns:
        float32 [B], losses in nats.

    Source: Chen, Kornblith, Norouzi and Hinton, "A simple framework for contrastive learning of visual
    representations", ICML 2020, Eq. 1; the neighbours stand beside the positive as in Eq. 7 of the AND
    paper.
    """
    rows = tf.stop_gradient(neighbour_rows)
    ids = tf.cast(ids, neighbours.dtype)
    itself = tf.eye(tf.size(ids), dtype=tf.bool)
    is_neighbour = tf.reduce_any(neighbours[:, tf.newaxis] == ids[:, tf.newaxis], axis=2)

    def logits(products: tf.Tensor, left_out: tf.Tensor) -> tf.Tensor:
        return tf.where(left_out, tf.float32.min, products / temperature)

    def losses(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        across = logits(tf.matmul(one, other, transpose_b=True), is_neighbour)
        among = logits(tf.matmul(one, one, transpose_b=True), itself | is_neighbour)
        near = logits(tf.einsum("bd,bkd->bk", one, rows), neighbours < 0)
        partner = tf.linalg.diag_part(across)[:, tf.newaxis]
        positives = tf.reduce_logsumexp(tf.concat([partner, near], axis=1), axis=1)
        candidates = tf.concat([across, among, near], axis=1)
        return tf.reduce_logsumexp(candidates, axis=1) - positives

    return (losses(first, second) + losses(second, first)) / 2
