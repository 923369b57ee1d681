"""Counters and latencies for Prometheus, named and labelled as TensorFlow Serving's.

Its names and buckets: servables/tensorflow/util.cc of github.com/tensorflow/serving.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE = "text/plain"
DEFAULT_PATH = "/monitoring/prometheus/metrics"

_PREFIX = ":tensorflow:serving:"
_COUNT = f"{_PREFIX}request_count"
# Microseconds, from 10 in steps of 1.8.
_BUCKETS = tuple(10 * 1.8**i for i in range(33))
_SIZES = (0, *(2**i for i in range(13)))

from serving.engine.batching import BatchRecord
from serving.engine.served_version import ServedVersion

# Times of creation, which TensorFlow Serving does not tell.
disable_created_metrics()


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._count = Counter(
            _COUNT,
            "The total number of requests.",
            ["model_name", "status"],
            registry=self._registry,
        )
        self._latency = self._histogram(
            "request_latency",
            "Distribution of wall time (in microseconds) of requests.",
            ["model_name", "API", "entrypoint"],
        )
        self._runtime = self._histogram(
            "runtime_latency",
            "Distribution of wall time (in microseconds) of running a signature, queue included.",
            ["model_name", "API", "runtime"],
        )
        self._queueing = self._histogram(
            "batching_session:queuing_latency",
            "Distribution of wall time (in microseconds) of waiting for a batch.",
        )
        self._batch_size = self._histogram(
            "batching:processed_batch_size",
            "Distribution of the rows of batches, without padding.",
            buckets=_SIZES,
        )
        self._padding = self._histogram(
            "batching:padding_size",
            "Distribution of the rows that batches were padded with.",
            buckets=_SIZES,
        )

    def observe_request(
        self, model: str, api: str, entrypoint: str, status: str, seconds: float
    ) -> None:
        """Counts a request that ended with `status`, such as "OK", after so many seconds.

        `model` must be a configured one, lest clients could add names without end.
        """
        self._count.labels(model, status).inc()
        if status == "OK":
            self._latency.labels(model, api, entrypoint).observe(seconds * 1e6)

    def observe_run(self, model: str, api: str, seconds: float) -> None:
        """Notes how long a signature took."""
        self._runtime.labels(model, api, "TF1").observe(seconds * 1e6)

    def observe_batch(self, version: ServedVersion, batch: BatchRecord) -> None:
        """Notes a batch of a version that has run."""
        self._queueing.labels(version.name).observe(batch.queue_seconds * 1e6)
        self._batch_size.labels(version.name).observe(batch.rows)
        self._padding.labels(version.name).observe(batch.padded_rows - batch.rows)

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        # The library ends the names of counters in a way that TensorFlow Serving's do not.
        return generate_latest(self._registry).replace(f"{_COUNT}_total".encode(), _COUNT.encode())

    def _histogram(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = ("model_name",),
        buckets: Sequence[float] = _BUCKETS,
    ) -> Histogram:
        return Histogram(f"{_PREFIX}{name}", text, labels, buckets=buckets, registry=self._registry)
