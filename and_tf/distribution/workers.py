"""The processes that train together, one on each machine, and what they tell each other."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from and_tf.errors import RunError


class Workers:
    """This process among the workers of a strategy; alone, without a strategy of several machines.

    Every method that returns something of all workers is to be called by all of them, in the same
    order, and waits for the last.

    Args:
        strategy: Of any kind; only `tf.distribute.MultiWorkerMirroredStrategy` has several workers.

    Attributes:
        rank: This worker's number, from 0.
        count: How many workers there are.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None) -> None:
        self.rank, self.count = 0, 1
        self._strategy = strategy
        self._functions: dict = {}
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            resolver = strategy.cluster_resolver
            # Another type than "worker" is the chief of old: it comes first, as TensorFlow has it.
            jobs = resolver.cluster_spec().as_dict()
            before = len(jobs.get("chief", ())) if resolver.task_type == "worker" else 0
            self.rank = before + (resolver.task_id or 0)
            self.count = max(1, sum(len(tasks) for tasks in jobs.values()))

    @property
    def is_chief(self) -> bool:
        """Whether this is the worker that writes and reports."""
        return self.rank == 0

    def anyone(self, wish: bool) -> bool:
        """Whether any worker wishes something that all are to do."""
        if self.count == 1:
            return wish
        if "anyone" not in self._functions:
            self._functions["anyone"] = self._sum_function()
        return self._functions["anyone"](int(wish)).numpy() > 0

    def leave(self) -> None:
        """Wait for all, before this process ends."""
        self.anyone(False)
        with contextlib.suppress(tf.errors.OpError):  # who goes first may break it for the others
            self.anyone(False)

    def gathered(self, array: np.ndarray) -> np.ndarray:
        """The arrays of all workers, one after the other along their first axis.

        Args:
            array: int32, int64, float32 or float64, [n, ...]; n may differ, and be 0, the rest not.

        Returns:
            [sum of all n, ...].
        """
        if self.count == 1:
            return np.asarray(array)
        array = np.asarray(array)
        if not self._gather_parts(np.array([len(array)])).any():
            return array  # collective operations never end where none has anything to say
        return self._gather_parts(array)

    def _gather_parts(self, array: np.ndarray) -> np.ndarray:
        signature = array.dtype, array.shape[1:]
        if signature not in self._functions:
            self._functions[signature] = self._gather_function(*signature)
        return self._functions[signature](array).numpy()

    def _sum_function(self) -> Callable:
        strategy = self._strategy
        assert strategy is not None  # that of the several workers

        def of_replica(number: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return context.all_reduce("sum", tf.identity(number))

        @tf.function(input_signature=[tf.TensorSpec([], tf.int32)], autograph=False)
        def total(number: tf.Tensor) -> tf.Tensor:
            return strategy.experimental_local_results(strategy.run(of_replica, (number,)))[0]

        return total

    def _gather_function(self, dtype: np.dtype, shape: tuple[int, ...]) -> Callable:
        """Of one signature for any n: workers that traced it at different times would not meet."""
        strategy = self._strategy
        assert strategy is not None  # that of the several workers
        local = strategy.num_replicas_in_sync // self.count

        def of_replica(array: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            # A worker's first replica speaks for it.
            speaks = tf.cast(context.replica_id_in_sync_group % local == 0, tf.int32)
            return context.all_gather(array[: speaks * tf.shape(array)[0]], axis=0)

        @tf.function(input_signature=[tf.TensorSpec([None, *shape], dtype)], autograph=False)
        def gather(array: tf.Tensor) -> tf.Tensor:
            found = strategy.run(of_replica, (array,))
            return strategy.experimental_local_results(found)[0]

        return gather

    def check_same(self, facts: dict[str, Any]) -> None:
        """Make sure that all workers were started alike.

        Args:
            facts: What must be the same on all, by what a message calls it; JSON values.

        Raises:
            RunError: With the names of those that differ, on all workers.
        """
        digests = [hashlib.sha256(json.dumps(fact).encode()).digest() for fact in facts.values()]
        own = np.frombuffer(b"".join(digest[:8] for digest in digests), np.int64)
        found = self.gathered(own[np.newaxis])
        different = [
            name for name, column in zip(facts, found.T, strict=True) if len(set(column)) > 1
        ]
        if different:
            self.leave()
            raise RunError(
                "All machines must train the same and see one run directory: start them with the same "
                f"options. Received: differences in {', '.join(different)}"
            )


ALONE = Workers()
"""A process without others."""
