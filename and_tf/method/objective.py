"""The objective: every example is pulled to its neighbourhood and away from all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import tensorflow as tf

PLAIN_LOGITS = 1 << 18
"""The most logits, B x N, that are computed in one piece; see `docs/performance.md`."""

_USUAL_BATCH = 256
_BLOCK_ROWS = 4096  # for a batch of 256, 4 MB of logits: they stay in the cache
SAFE_TEMPERATURE = 0.05
"""From here up unit rows have logits of at most 20. In float32, sums over a billion of their
exponentials are as exact without taking the largest out first, up to lengths of 1.8."""


def neighbourhood_losses(
    embeddings: tf.Tensor, bank: tf.Tensor | tf.Variable, positives: tf.Tensor, temperature: float
) -> tf.Tensor:
    """Minus the log of the probability that an example is one of its positives.

    With `p(i, j)` the softmax over all N rows of `x_i . v_j / tau` (Eq. 2), the loss of example i is
    `-log sum_j p(i, j)` over its positives j: itself alone for an instance (Eq. 3), itself and its
    k neighbours for an anchor (Eq. 7). The bank is a constant: no gradient reaches it.

    Up to `PLAIN_LOGITS` the B x N logits are held at once. Beyond, or where N is not known when the
    graph is made, one sweep over blocks of the bank finds the losses and the gradient together, and
    gradients of that gradient are refused.

    Args:
        embeddings: float [B, d]. Unit embeddings of the batch. Computed with in float32.
        bank: float32 [N, d]. The memory bank, unit rows. The sweep reads a variable block by block,
            where a tensor made from it could be a copy of the whole bank.
        positives: int [B, P]. Ids of each example's positives; a negative id is padding.
            Every row needs at least one id that is not padding, and no id twice.
        temperature: tau.

    Returns:
        float32 [B], losses in nats. Eq. 7 divided by B is their mean.
    """
    embeddings = tf.cast(embeddings, tf.float32)
    if not isinstance(bank, tf.Variable):
        bank = tf.cast(bank, tf.float32)

    positive_rows = tf.gather(bank, tf.maximum(positives, 0))
    batch, num_rows = embeddings.shape[0] or _USUAL_BATCH, bank.shape[0]
    if num_rows is not None and batch * num_rows <= PLAIN_LOGITS:
        log_partition = _plain_log_partition(embeddings, bank, temperature)
    else:
        sums = sweep(embeddings, bank, num_rows, temperature)
        log_partition = fused_log_partition(embeddings, *sums, temperature)
    return log_partition - log_positives(embeddings, positive_rows, positives, temperature)


def log_positives(
    embeddings: tf.Tensor, rows: tf.Tensor, positives: tf.Tensor, temperature: float
) -> tf.Tensor:
    """The log of the numerator of Eq. 7, `log sum_j exp(x_i . v_j / tau)` over the positives.

    Args:
        embeddings: float32 [B, d].
        rows: float32 [B, P, d]. The positives' bank rows, of which no gradient is taken; those of
            padding may be anything finite.
        positives: int [B, P]. Ids; a negative one is padding.
        temperature: tau.

    Returns:
        float32 [B].
    """
    logits = tf.einsum("bd,bpd->bp", embeddings, tf.stop_gradient(rows)) / temperature
    return tf.reduce_logsumexp(tf.where(positives >= 0, logits, tf.float32.min), axis=-1)


def _plain_log_partition(
    embeddings: tf.Tensor, bank: tf.Tensor | tf.Variable, temperature: float
) -> tf.Tensor:
    """The log of the softmax's denominator in Eq. 2, float32 [B], from all logits at once."""
    bank = tf.stop_gradient(tf.convert_to_tensor(bank))
    logits = tf.matmul(embeddings, bank, transpose_b=True) / temperature
    return tf.reduce_logsumexp(logits, axis=-1)


def sweep(
    embeddings: tf.Tensor,
    bank: tf.Tensor | tf.Variable,
    num_rows: int | None,
    temperature: float,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """What the log of the denominator of Eq. 2 and its gradient are made of, from one sweep.

    The gradient of `log sum_j exp(x . v_j / tau)` by x is `sum_j p(j) v_j / tau`, the bank's mean
    row under the softmax. Its numerator is a sum over rows as the denominator is, so both are
    accumulated together; at small temperatures relative to the largest logit so far.

    Args:
        embeddings: float32 [B, d]. No gradient flows through the sums.
        bank: float32 [M, d].
        num_rows: How many of the bank's first rows count. None: all.
        temperature: tau.

    Returns:
        float32 [B, 1], the largest logit m, or 0 from `SAFE_TEMPERATURE` up; float32 [B, 1],
        `sum_j exp(x . v_j / tau - m)`; float32 [B, d], `sum_j exp(x . v_j / tau - m) v_j`.
    """
    scaled = tf.stop_gradient(embeddings) / temperature
    relative = temperature < SAFE_TEMPERATURE

    def add_rows(
        start: tf.Tensor,
        size: int | tf.Tensor,
        largest: tf.Tensor,
        total: tf.Tensor,
        weighted_rows: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        rows = _rows(bank, start, size)
        logits = tf.matmul(scaled, rows, transpose_b=True)
        if relative:
            before, largest = largest, tf.maximum(largest, _over_rows(tf.reduce_max, logits))
            logits -= largest
            total *= tf.exp(before - largest)
            weighted_rows *= tf.exp(before - largest)
        weights = tf.exp(logits)
        total += _over_rows(tf.reduce_sum, weights)
        return largest, total, weighted_rows + tf.matmul(weights, rows)

    if num_rows is None:
        num_rows = tf.shape(bank)[0]
    in_blocks = num_rows // _BLOCK_ROWS * _BLOCK_ROWS
    nothing = tf.zeros_like(scaled[:, :1])
    # The rows left over by whole blocks come first, so that blocks start at multiples of their
    # size: TensorFlow slices a tensor without a copy where a slice is aligned.
    sums = add_rows(
        in_blocks,
        num_rows - in_blocks,
        nothing + (tf.float32.min if relative else 0.0),
        nothing,
        tf.zeros_like(scaled),
    )
    # While one block is in its exponentials the next can be in its products.
    _, *sums = tf.while_loop(
        lambda start, *sums: start < in_blocks,
        lambda start, *sums: (start + _BLOCK_ROWS, *add_rows(start, _BLOCK_ROWS, *sums)),
        (tf.constant(0), *sums),
        parallel_iterations=2,
    )
    return tuple(sums)


def fused_log_partition(
    embeddings: tf.Tensor,
    largest: tf.Tensor,
    total: tf.Tensor,
    weighted_rows: tf.Tensor,
    temperature: float,
) -> tf.Tensor:
    """The log of the denominator of Eq. 2, float32 [B], with its gradient, from a sweep's sums."""
    log_partition = tf.squeeze(largest + tf.math.log(total), axis=-1)
    return _with_gradient(embeddings, log_partition, weighted_rows / (total * temperature))


def _over_rows(reduce: Callable, logits: tf.Tensor) -> tf.Tensor:
    return reduce(logits, axis=-1, keepdims=True)


def _rows(bank: tf.Tensor | tf.Variable, start: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    if isinstance(bank, tf.Variable):
        return tf.gather(bank, start + tf.range(size))
    return tf.slice(bank, [start, 0], [size, -1])


@tf.custom_gradient
def _with_gradient(
    inputs: tf.Tensor, values: tf.Tensor, gradients: tf.Tensor
) -> tuple[tf.Tensor, Callable]:
    """`values` [B] of `inputs` [B, d], whose `gradients` [B, d] are known."""

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None, None]:
        return _final(inputs, upstream[:, tf.newaxis] * gradients), None, None

    return tf.identity(values), gradient


@tf.custom_gradient
def _final(inputs: tf.Tensor, gradients: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """`gradients`, which depend on `inputs` in a way that was not kept."""

    def refuse(upstream: tf.Tensor) -> NoReturn:
        raise NotImplementedError(
            "The objective over a large bank has first-order gradients only. Use a batch and bank "
            f"of at most {PLAIN_LOGITS} logits (and_tf.method.objective.PLAIN_LOGITS) for higher orders."
        )

    return tf.identity(gradients), refuse
