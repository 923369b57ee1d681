"""Counters, latencies and gauges for Prometheus, named and labelled as TensorFlow Serving's.

Its names and buckets: servables/tensorflow/util.cc of github.com/tensorflow/serving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain"
DEFAULT_PATH = "/monitoring/prometheus/metrics"

_PREFIX = ":tensorflow:serving:"
# The library ends the names of counters in `_total`, TensorFlow Serving does not.
_COUNTS = ("request_count", "refused_request_count", "teaching_request_count")
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
        # Memory, processor time and open files of the process, under Prometheus's own names.
        ProcessCollector(registry=self._registry)
        requests, refusals, teaching = (f"{_PREFIX}{name}" for name in _COUNTS)
        self._count = self._counter(
            requests, "The total number of requests.", ["model_name", "status"]
        )
        self._refused = self._counter(
            refusals, "Requests that were refused before they came to a model.", ["API", "status"]
        )
        self._taught = self._counter(
            teaching, "Requests to teach or to forget.", ["model_name", "status"]
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

    def observe_refusal(self, api: str, status: str) -> None:
        """Counts a request that came to no model: by port ("REST", "GRPC") and its status."""
        self._refused.labels(api, status).inc()

    def observe_teaching(self, model: str, status: str) -> None:
        """Counts a request to teach a model, or to forget, that ended with `status`."""
        self._taught.labels(model, status).inc()

    def show(self, name: str, text: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Adds a gauge, which is read when the page is: a value for each model, or one for ""."""
        self._registry.register(_Gauge(f"{_PREFIX}{name}", text, read))

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
        page = generate_latest(self._registry)
        for name in _COUNTS:
            page = page.replace(f"{_PREFIX}{name}_total".encode(), f"{_PREFIX}{name}".encode())
        return page

    def _counter(self, name: str, text: str, labels: Sequence[str]) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _histogram(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = ("model_name",),
        buckets: Sequence[float] = _BUCKETS,
    ) -> Histogram:
        return Histogram(f"{_PREFIX}{name}", text, labels, buckets=buckets, registry=self._registry)


class _Gauge(Collector):
    def __init__(self, name: str, text: str, read: Callable[[], Mapping[str, float]]) -> None:
        self._name, self._text, self._read = name, text, read

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: it is not read before it must be."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The values of now."""
        values = self._read()
        labels = [] if "" in values else ["model_name"]
        family = GaugeMetricFamily(self._name, self._text, labels=labels)
        for model, value in values.items():
            family.add_metric([model] if labels else [], value)
        yield family
