"""The objective: every example is pulled to its neighbourhood and away from all others."""

from __future__ import annotations

import tensorflow as tf


def neighbourhood_losses(
    embeddings: tf.Tensor, bank: tf.Tensor, positives: tf.Tensor, temperature: float
) -> tf.Tensor:
    """Minus the log of the probability that an example is one of its positives.

    With `p(i, j)` the softmax over all N rows of `x_i . v_j / tau` (Eq. 2), the loss of example i is
    `-log sum_j p(i, j)` over its positives j: itself alone for an instance (Eq. 3), itself and its
    k neighbours for an anchor (Eq. 7). The bank is a constant: no gradient reaches it.

    Args:
        embeddings: float [B, d]. Unit embeddings of the batch. Computed with in float32.
        bank: float32 [N, d]. The memory bank, unit rows.
        positives: int [B, P]. Ids of each example's positives; a negative id is padding.
            Every row needs at least one id that is not padding, and no id twice.
        temperature: tau.

    Returns:
        float32 [B], losses in nats. Eq. 7 divided by B is their mean.
    """
    embeddings = tf.cast(embeddings, tf.float32)
    bank = tf.stop_gradient(tf.cast(bank, tf.float32))
    logits = tf.matmul(embeddings, bank, transpose_b=True) / temperature

    is_positive = positives >= 0
    positive_rows = tf.gather(bank, tf.maximum(positives, 0))
    positive_logits = tf.einsum("bd,bpd->bp", embeddings, positive_rows) / temperature
    positive_logits = tf.where(is_positive, positive_logits, tf.float32.min)

    return tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_logsumexp(positive_logits, axis=-1)
