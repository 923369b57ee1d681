"""What is asked of a model, whatever the protocol: predict, classify, regress, metadata.

Messages follow TensorFlow Serving's servables/tensorflow/ (predict_util.cc, classifier.cc,
regressor.cc and multi_inference.cc).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import NamedTuple

import grpc
import numpy as np
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis.model_pb2 import ModelSpec

from serving import access_log
from serving.engine.models import Models
from serving.engine.served_version import ServedVersion
from serving.errors import ServingError, invalid
from serving.metrics import Metrics
from serving.protocol import example_results, request_checks
from serving.protocol.request_checks import DEFAULT_SIGNATURE, Question
from serving.protocol.room import Room
from serving.protocol.work import Work

CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"


class Task(NamedTuple):
    """One of the questions of a multi-inference: a signature, and its method's name."""

    signature_name: str
    method_name: str


class Inference:
    """Answers from the models, within limits.

    Belongs to the event loop. Deadlines are points of `time.monotonic()`, or None.
    """

    def __init__(
        self, models: Models, limits: request_checks.Limits, metrics: Metrics, room: Room
    ) -> None:
        self.models = models
        self.limits = limits
        self.room = room
        self.work = Work()
        self._metrics = metrics

    @contextlib.contextmanager
    def use(self, spec: ModelSpec) -> Iterator[ServedVersion]:
        """The version that `spec` asks for; it stays loaded until the block ends.

        Raises:
            ServingError: INVALID_ARGUMENT without a name or for an unknown label, NOT_FOUND where
                no such version is available.
        """
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        access_log.note(model=spec.name)
        version = spec.version.value if spec.HasField("version") else None
        label = spec.version_label if spec.HasField("version_label") else None
        with self.models.use(spec.name, version, label) as served:
            access_log.note(version=served.version)
            yield served

    async def predict(
        self,
        version: ServedVersion,
        question: Question,
        deadline: float | None = None,
    ) -> dict[str, np.ndarray]:
        """The outputs of a signature, by alias.

        Raises:
            ServingError: what running it raises.
        """
        return await self._run(version, "Predict", question, deadline)

    async def classify(
        self,
        version: ServedVersion,
        signature_name: str,
        examples: np.ndarray,
        deadline: float | None = None,
    ) -> example_results.Classes:
        """The classes of serialised examples, bytes [N].

        Raises:
            ServingError: INVALID_ARGUMENT for a signature that does not classify examples, and
                what running it raises.
        """
        name, signature = _find(version, signature_name)
        outputs = example_results.classification_outputs(signature)
        results = await self._run_examples(version, "Classify", name, examples, outputs, deadline)
        return example_results.read_classes(results, len(examples))

    async def regress(
        self,
        version: ServedVersion,
        signature_name: str,
        examples: np.ndarray,
        deadline: float | None = None,
    ) -> np.ndarray:
        """The values, float32 [N], of serialised examples, bytes [N].

        Raises:
            ServingError: INVALID_ARGUMENT for a signature that does not regress examples, and
                what running it raises.
        """
        name, signature = _find(version, signature_name)
        outputs = example_results.regression_outputs(signature)
        results = await self._run_examples(version, "Regress", name, examples, outputs, deadline)
        return example_results.read_values(results, len(examples))

    async def multi_inference(
        self,
        version: ServedVersion,
        tasks: Iterable[Task],
        examples: np.ndarray,
        deadline: float | None = None,
    ) -> list[example_results.Classes | np.ndarray]:
        """The answer to each task, as of `classify` or `regress`.

        Raises:
            ServingError: as those do; UNIMPLEMENTED for other methods.
        """
        tasks = [Task(task.signature_name or DEFAULT_SIGNATURE, task.method_name) for task in tasks]
        methods: dict[str, Callable[..., Awaitable[example_results.Classes | np.ndarray]]] = {
            CLASSIFY_METHOD: self.classify,
            REGRESS_METHOD: self.regress,
        }
        for i, (name, method) in enumerate(tasks):
            if name in (earlier.signature_name for earlier in tasks[:i]):
                raise invalid(f"Duplicate evaluation of signature: {name}")
            if name not in version.signatures:
                raise invalid(f"Requested signature not found in model graph: {name}")
            if method not in methods:
                raise ServingError(
                    grpc.StatusCode.UNIMPLEMENTED, f"Unsupported signature method_name: {method}"
                )
        return [await methods[method](version, name, examples, deadline) for name, method in tasks]

    async def _run_examples(
        self,
        version: ServedVersion,
        api: str,
        name: str,
        examples: np.ndarray,
        outputs: list[str],
        deadline: float | None,
    ) -> dict[str, np.ndarray]:
        if not len(examples):
            raise invalid("Input is empty.")
        signature = version.signatures[name]
        question = request_checks.checked(
            name, signature, {"inputs": examples}, self.limits, outputs
        )
        return await self._run(version, api, question, deadline)

    async def _run(
        self,
        version: ServedVersion,
        api: str,
        question: Question,
        deadline: float | None,
    ) -> dict[str, np.ndarray]:
        start = time.perf_counter()
        results = await version.run(
            question.signature_name,
            question.inputs,
            question.outputs or None,
            deadline,
            slow=question.slow,
        )
        self._metrics.observe_run(version.name, api, time.perf_counter() - start)
        return results


def _find(version: ServedVersion, signature_name: str) -> tuple[str, SignatureDef]:
    name = signature_name or DEFAULT_SIGNATURE
    if name not in version.signatures:
        raise invalid(f"No signature was found with the name: {name}")
    return name, version.signatures[name]
