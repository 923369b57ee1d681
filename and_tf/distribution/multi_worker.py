"""What Keras's `fit`, `evaluate` and `predict` lack under `MultiWorkerMirroredStrategy`.

Keras 3 would reduce the logs of a step over workers, and fails (keras #20585). Every replica of `AND`
has the same logs already, so that one of the worker's own will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from and_tf.distribution.workers import Workers


def has_workers(model: keras.Model) -> bool:
    """Whether a model was made to train on several workers."""
    return Workers(model.distribute_strategy).count > 1


def across_replicas(model: keras.Model, step: Callable) -> Callable:
    """The function that takes a step on every replica: from an iterator over batches to the logs."""
    strategy = model.distribute_strategy

    @tf.function(reduce_retracing=True, autograph=False)
    def take_step(iterator: Iterator) -> dict[str, tf.Tensor]:
        logs = strategy.run(step, (next(iterator),))
        return {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

    return take_step


def rows_of_worker(strategy: tf.distribute.Strategy, batch_size: int) -> range:
    """The rows that a worker's replicas have of every batch, see `ImageSet.training_batches`."""
    workers = Workers(strategy)
    size = replicas_of_worker(strategy) * rows_of_replica(strategy, batch_size)
    return range(workers.rank * size, (workers.rank + 1) * size)


def replicas_of_worker(strategy: tf.distribute.Strategy) -> int:
    """How many replicas each worker has."""
    return strategy.num_replicas_in_sync // Workers(strategy).count


def rows_of_replica(strategy: tf.distribute.Strategy, batch_size: int | tf.Tensor) -> Any:
    """The rows that every replica has of a batch; the last ones may get fewer, or none."""
    return -(-batch_size // strategy.num_replicas_in_sync)


def distributed(
    strategy: tf.distribute.Strategy, batches: tf.data.Dataset, batch_size: int | None = None
) -> tf.distribute.DistributedDataset:
    """Batches of which every replica gets its part, in the order of the replicas.

    Args:
        strategy: `MultiWorkerMirroredStrategy`.
        batches: Of tensors [B, ...]; whole batches, the same on every worker.
        batch_size: B, where the batches are cut to `rows_of_worker` already.
    """
    replicas = replicas_of_worker(strategy)
    first = 0 if batch_size else Workers(strategy).rank * replicas

    def part(replica: int | tf.Tensor, tensors: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        size = rows_of_replica(strategy, batch_size or tf.shape(tensors[0], tf.int64)[0])
        return tuple(tensor[replica * size : (replica + 1) * size] for tensor in tensors)

    def parts(*tensors: tf.Tensor) -> tf.data.Dataset:
        numbers = tf.data.Dataset.range(first, first + replicas)
        return numbers.map(lambda replica: part(replica, tensors))

    cut = batches.flat_map(parts)
    if batches.cardinality() == tf.data.INFINITE_CARDINALITY:
        # Unless it is known, the workers ask each other at every step whether there is one more.
        cut = cut.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    return strategy.distribute_datasets_from_function(lambda context: cut)


def training_data(
    model: keras.Model, x: Any, y: Any, steps: int | None
) -> tuple[tf.distribute.DistributedDataset, int | None]:
    """What Keras's `fit` and `evaluate` take on several workers for the data that they are given.

    Args:
        model: Made to train on several workers.
        x: A `tf.data.Dataset` of whole batches, the same on every worker, or what `distributed` made.
        y: None, since the data set holds the targets.
        steps: Of an epoch, or None for those of the data set.

    Returns:
        Batches of which every replica gets its part, and the steps of an epoch.

    Raises:
        ValueError: Data of another kind.
    """
    if isinstance(x, tf.distribute.DistributedDataset):
        return x, steps
    if not isinstance(x, tf.data.Dataset) or y is not None:
        raise ValueError(
            "On several machines give a tf.data.Dataset of batches (images, indices) that is the "
            "same on each, for instance and_tf.data.from_arrays(images).training_batches(128, "
            f"seed=0). Received: {type(x).__name__}"
        )
    if (count := int(x.cardinality())) > 0:
        x, steps = x.repeat(), steps or count
    return distributed(model.distribute_strategy, x), steps


def predict(model: keras.Model, x: Any, batch_size: int | None = None) -> np.ndarray:
    """What `predict_step` gives for all images, of which every worker computes its share.

    Args:
        model: The same on every worker.
        x: Images [N, H, W, 3], or a `tf.data.Dataset` of batches of them; the same on every worker.
        batch_size: Images in a batch, 32 by default.

    Returns:
        float32 [N, d], on every worker.
    """
    if not isinstance(x, tf.data.Dataset):
        x = tf.data.Dataset.from_tensor_slices(x).batch(batch_size or 32)
    workers = Workers(model.distribute_strategy)
    return predict_shares(model, x.shard(workers.count, workers.rank))


def predict_shares(model: keras.Model, batches: tf.data.Dataset) -> np.ndarray:
    """What `predict_step` gives for all batches, of which every worker is given its share.

    Args:
        model: The same on every worker.
        batches: This worker's share: of the batches of images [B, H, W, 3] that all have together,
            worker r of W has r, r + W, ...

    Returns:
        float32 [N, d], on every worker.
    """
    workers = Workers(model.distribute_strategy)
    step = tf.function(model.predict_step, reduce_retracing=True, autograph=False)
    mine = [step(batch).numpy() for batch in batches]
    width = model.encoder.output_shape[-1]
    rows = workers.gathered(np.concatenate([*mine, np.zeros((0, width), np.float32)]))
    sizes = workers.gathered(np.array([len(batch) for batch in mine], np.int64))
    counts = workers.gathered(np.array([len(mine)]))
    # Worker w has the batches w, w + W, ...: back into their order.
    owners = np.repeat(np.arange(workers.count), counts)
    turns = np.concatenate([np.arange(count) for count in counts])
    parts = np.split(rows, np.cumsum(sizes)[:-1])
    return np.concatenate([parts[batch] for batch in np.lexsort((owners, turns))])
