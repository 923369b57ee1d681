"""What the replicas of one training step tell each other; with one replica, nothing is sent."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import tensorflow as tf

_weights = threading.local()  # TensorFlow traces each replica in a thread of its own


def several() -> bool:
    """Whether this runs on one of several replicas, each with its part of the batch."""
    context = tf.distribute.get_replica_context()
    return context is not None and context.num_replicas_in_sync > 1


def gathered(tensor: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, in their order; they may hold different numbers, or none."""
    if not several():
        return tensor
    return tf.distribute.get_replica_context().all_gather(tensor, axis=0)


def summed(tensor: tf.Tensor) -> tf.Tensor:
    """The sum over all replicas of tensors of one shape."""
    if not several():
        return tensor
    return tf.distribute.get_replica_context().all_reduce("sum", tensor)


def number() -> tf.Tensor:
    """Which replica this is, int32 [], known when its graph is made."""
    return tf.distribute.get_replica_context().replica_id_in_sync_group


def own(variable: tf.Variable) -> tf.Variable:
    """This replica's part of a variable that lies on all devices, mirrored or not.

    To look up rows of the whole, TensorFlow copies all of this replica's part.
    """
    parts = tf.distribute.get_strategy().experimental_local_results(variable)
    return parts[int(tf.get_static_value(number())) % len(parts)]


def greatest(tensor: tf.Tensor) -> tf.Tensor:
    """The element-wise maximum over all replicas of tensors of one shape."""
    if not several():
        return tensor
    return tf.reduce_max(gathered(tensor[tf.newaxis]), axis=0)


def own_part(count: tf.Tensor) -> slice:
    """Where this replica's rows are among those `gathered`.

    Args:
        count: int32 [], how many it has.
    """
    if not several():
        return slice(None)
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    # As floats, since not every device adds integers; they are exact up to 2^24 images.
    counts = summed(tf.one_hot(number(), replicas, on_value=tf.cast(count, tf.float32)))
    start = tf.cast(tf.reduce_sum(counts[: number()]), tf.int32)
    return slice(start, start + count)


def share_of_mean(values: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """This replica's share of a mean over all replicas, whose sum is the mean.

    Args:
        values: float [b], this replica's; b may be 0.
        count: int32 [], how many values all replicas have.
    """
    if not several():
        return tf.reduce_mean(values)
    return tf.reduce_sum(values) / tf.cast(count, values.dtype)


def with_own(everyones: tf.Tensor, own_rows: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, with a gradient to this replica's.

    Where all replicas compute one loss from these, the sum of their gradients is that of the loss.

    Args:
        everyones: [B, ...], as `gathered` gives them.
        own_rows: [b, ...], this replica's.
    """
    if not several():
        return own_rows
    part = own_part(tf.shape(own_rows)[0])
    return tf.concat([everyones[: part.start], own_rows, everyones[part.stop :]], axis=0)


def share_of_whole_mean(values: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """This replica's share of a mean that every replica has computed, with the gradient of the whole.

    Args:
        values: float [B], those of all replicas, of rows `with_own`.
        count: int32 [], how many of them are this replica's.
    """
    mean = tf.reduce_mean(values)
    if not several():
        return mean
    share = tf.reduce_sum(values[own_part(count)]) / tf.cast(tf.size(values), values.dtype)
    return mean + tf.stop_gradient(share - mean)


def applied(model: Callable[..., tf.Tensor], images: tf.Tensor, training: bool) -> tf.Tensor:
    """What a model gives for this replica's images, of which there may be none."""
    if not several():
        return model(images, training=training)
    # Kernels give wrong shapes for no images, or crash: one of weight 0 stands in.
    count = tf.shape(images)[0]
    stand_ins = tf.zeros([tf.cast(count == 0, tf.int32), *images.shape[1:]], images.dtype)
    with weighing(tf.cast(count > 0, tf.float32)):
        return model(tf.concat([images, stand_ins], axis=0), training=training)[:count]


@contextlib.contextmanager
def weighing(weight: tf.Tensor) -> Iterator[None]:
    """Give this replica's images a weight, 0 or 1, in what is computed over the whole batch."""
    _weights.value = weight
    try:
        yield
    finally:
        del _weights.value


def weight() -> tf.Tensor | float:
    """What `weighing` says, 1 elsewhere."""
    return getattr(_weights, "value", 1.0)
