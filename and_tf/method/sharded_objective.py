"""The objective over a bank in parts: what it needs of all rows is summed over the replicas."""

from __future__ import annotations

import tensorflow as tf

from and_tf.distribution import replicas
from and_tf.method.objective import SAFE_TEMPERATURE, fused_log_partition, log_positives, sweep
from and_tf.method.sharded_bank import ShardedBank


def sharded_losses(
    embeddings: tf.Tensor,
    everyones: tf.Tensor,
    bank: ShardedBank,
    positives: tf.Tensor,
    temperature: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The losses of `neighbourhood_losses`, and the bank's rows of the positives.

    With Z_r the part of the denominator of Eq. 2 that replica r's rows make,
    `Z_i = sum_r Z_r = sum_r sum_(j of r) exp(x_i . v_j / tau)`, and the gradient of its logarithm is
    `sum_r sum_(j of r) exp(x_i . v_j / tau) v_j / (tau Z_i)`. Each replica computes its terms for the
    batch's B embeddings; the sums over r, B (d + 1) numbers, are exchanged, and B P d for the
    positives of Eq. 7. Nothing of the bank's size is sent.

    Args:
        embeddings: float32 [b, d], this replica's; b may be 0.
        everyones: float32 [B, d], the embeddings of all replicas, in their order.
        bank: Unit rows.
        positives: int [B, P], ids of the positives of `everyones`; a negative id is padding.
        temperature: tau.

    Returns:
        float32 [b], losses in nats; float32 [B, P, d], the positives' rows, zeros for padding.
    """
    positives = tf.convert_to_tensor(positives)
    rows = bank.gather(positives)
    shard, _, count = bank.own_shard()
    largest, total, weighted_rows = sweep(everyones, shard, count, temperature)
    if temperature < SAFE_TEMPERATURE:
        # Each replica's sums are relative to its own largest logit; that of all takes its place.
        own, largest = largest, replicas.greatest(largest)
        total *= tf.exp(own - largest)
        weighted_rows *= tf.exp(own - largest)
    sums = replicas.summed(tf.concat([total, weighted_rows], axis=1))

    part = replicas.own_part(tf.shape(embeddings)[0])
    largest, sums = largest[part], sums[part]
    log_partition = fused_log_partition(embeddings, largest, sums[:, :1], sums[:, 1:], temperature)
    return log_partition - log_positives(embeddings, rows[part], positives[part], temperature), rows
