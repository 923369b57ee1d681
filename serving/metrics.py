"""Counters and latencies for Prometheus, named and labelled as TensorFlow Serving's.

Its names and buckets: servables/tensorflow/util.cc of github.com/tensorflow/serving.
"""

from __future__ import annotations

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
_BUCKETS = [10 * 1.8**i for i in range(33)]


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
        self._latency = Histogram(
            f"{_PREFIX}request_latency",
            "Distribution of wall time (in microseconds) of requests.",
            ["model_name", "API", "entrypoint"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._runtime = Histogram(
            f"{_PREFIX}runtime_latency",
            "Distribution of wall time (in microseconds) of running a signature, queue included.",
            ["model_name", "API", "runtime"],
            buckets=_BUCKETS,
            registry=self._registry,
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

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        # The library ends the names of counters in a way that TensorFlow Serving's do not.
        return generate_latest(self._registry).replace(f"{_COUNT}_total".encode(), _COUNT.encode())
