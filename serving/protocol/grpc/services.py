"""TensorFlow Serving's gRPC services on the models: PredictionService, ModelService, health.

Follows its model_servers/prediction_service_impl.cc and model_service_impl.cc.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import grpc
import numpy as np
from google.protobuf.message import Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)
from tensorflow_serving.apis.model_pb2 import ModelSpec

from serving.engine.models import Models
from serving.errors import ServingError, invalid
from serving.metrics import Metrics
from serving.protocol import model_info
from serving.protocol.grpc import messages
from serving.protocol.inference import Inference, Task
from serving.protocol.request_checks import DEFAULT_SIGNATURE
from serving.protocol.room import Room
from serving.settings import Settings

# Messages travel in HTTP/2 headers, of which clients take 8 KiB.
_LONGEST_MESSAGE = 4096
# Bytes of a request that is read on the event loop: metadata, status, configuration.
_LARGEST_WHOLE = 1 << 18

_logger = logging.getLogger(__name__)


class _Call(NamedTuple):
    """One call: its message, of which large ones hold field 1 alone, its bytes, and their time."""

    request: Any
    raw: bytes
    deadline: float | None


_Method = Callable[[Any, _Call], Awaitable[bytes]]


def _answers(kind: type[Message], *, whole: bool = False) -> Callable[[_Method], Any]:
    """Makes a handler of a method: reads the request's beginning, gives errors as statuses, counts.

    `whole` requests must be small, and are read altogether.
    """

    def decorate(method: _Method) -> Any:
        name = method.__name__

        @functools.wraps(method)
        async def answer(self: Any, raw: bytes, context: grpc.aio.ServicerContext) -> bytes:
            # What neither answers nor fails was cancelled.
            start, status, message = time.perf_counter(), grpc.StatusCode.CANCELLED, ""
            request = kind()
            try:
                if whole and len(raw) > _LARGEST_WHOLE:
                    raise invalid(f"A {name} request may have at most {_LARGEST_WHOLE} bytes")
                request = messages.parse(kind, raw if whole else messages.first_field(raw))
                with self.room.share() as take:
                    take(len(raw))
                    response = await method(self, _Call(request, raw, self.deadline(context)))
                status = grpc.StatusCode.OK
                return response
            except ServingError as error:
                status, message = error.code, error.message
                if error.retry_after is not None:
                    pushback = str(round(error.retry_after * 1000))
                    context.set_trailing_metadata((("grpc-retry-pushback-ms", pushback),))
            except Exception:
                status, message = grpc.StatusCode.INTERNAL, "Internal error"
                _logger.exception("%s failed", name)
            finally:
                self.count(request, name, status, time.perf_counter() - start)
            # `context.abort` raises, and what it raises keeps the request for long.
            context.set_code(status)
            context.set_details(message[:_LONGEST_MESSAGE])
            return b""

        return answer

    return decorate


class PredictionService:
    """Predict, Classify, Regress, MultiInference and GetModelMetadata, from bytes to bytes."""

    NAME = "tensorflow.serving.PredictionService"
    METHODS = ("Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata")

    def __init__(self, inference: Inference, metrics: Metrics, settings: Settings) -> None:
        self.room = inference.room
        self._inference = inference
        self._work = inference.work
        self._metrics = metrics
        self._settings = settings

    @_answers(predict_pb2.PredictRequest)
    async def Predict(self, call: _Call) -> bytes:
        """The outputs of a signature."""
        spec = _spec_of(call.request)
        with self._inference.use(spec) as version:
            question = await self._work.read(
                len(call.raw),
                call.deadline,
                messages.read_predict,
                call.raw,
                dict(version.signatures),
                self._inference.limits,
                self._settings.largest_unzipped_body,
            )
            outputs = await self._inference.predict(version, question, call.deadline)
            numbers = sum(np.size(array) for array in outputs.values())
            answered = _answered(version, spec)
            return await self._work.write(
                numbers, call.deadline, messages.write_predict, answered, outputs
            )

    @_answers(classification_pb2.ClassificationRequest)
    async def Classify(self, call: _Call) -> bytes:
        """The classes of examples."""
        spec = _spec_of(call.request)
        with self._inference.use(spec) as version:
            classes = await self._inference.classify(
                version, spec.signature_name, await self._examples(call), call.deadline
            )
            answered = _answered(version, spec)
            return await self._work.write(
                classes.size, call.deadline, messages.write_classes, answered, classes
            )

    @_answers(regression_pb2.RegressionRequest)
    async def Regress(self, call: _Call) -> bytes:
        """The values of examples."""
        spec = _spec_of(call.request)
        with self._inference.use(spec) as version:
            values = await self._inference.regress(
                version, spec.signature_name, await self._examples(call), call.deadline
            )
            return messages.write_values(_answered(version, spec), values)

    @_answers(inference_pb2.MultiInferenceRequest)
    async def MultiInference(self, call: _Call) -> bytes:
        """Several questions about the same examples, to one model."""
        tasks = call.request.tasks
        specs = [task.model_spec for task in tasks]
        with self._inference.use(specs[0] if specs else ModelSpec()) as version:
            for spec in specs:
                if not spec.name:
                    raise invalid("Found ModelSpec with an empty model name.")
                if spec.name != version.name:
                    raise invalid(
                        "All ModelSpecs in a MultiInferenceRequest must access the same model name."
                    )
            results = await self._inference.multi_inference(
                version,
                [Task(task.model_spec.signature_name, task.method_name) for task in tasks],
                await self._examples(call),
                call.deadline,
            )
            answered = [_answered(version, spec) for spec in specs]
            return await self._work.write(
                sum(result.size for result in results),
                call.deadline,
                messages.write_results,
                answered,
                results,
            )

    @_answers(get_model_metadata_pb2.GetModelMetadataRequest, whole=True)
    async def GetModelMetadata(self, call: _Call) -> bytes:
        """The signatures of a model."""
        request = call.request
        spec = _spec_of(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        with self._inference.use(spec) as version:
            response = get_model_metadata_pb2.GetModelMetadataResponse(
                model_spec=model_info.spec_of(version)
            )
            response.metadata["signature_def"].Pack(model_info.signatures(version))
            return response.SerializeToString()

    async def _examples(self, call: _Call) -> np.ndarray:
        read = messages.read_examples
        return await self._work.read(
            len(call.raw), call.deadline, read, type(call.request), call.raw
        )

    def deadline(self, context: grpc.aio.ServicerContext) -> float:
        """The client's, but no later than the server's own."""
        remaining = context.time_remaining()
        most = self._settings.request_timeout
        return time.monotonic() + (most if remaining is None else min(remaining, most))

    def count(self, request: Message, api: str, status: grpc.StatusCode, seconds: float) -> None:
        """Counts an answered request."""
        specs = [request, *getattr(request, "tasks", ())]
        name = next((s.model_spec.name for s in specs if hasattr(s, "model_spec")), "")
        if name in self._inference.models.names:
            self._metrics.observe_request(name, api, "GRPC", status.name, seconds)


class ModelService:
    """GetModelStatus and HandleReloadConfigRequest, from bytes to bytes."""

    NAME = "tensorflow.serving.ModelService"
    METHODS = ("GetModelStatus", "HandleReloadConfigRequest")

    def __init__(self, models: Models, room: Room) -> None:
        self.room = room
        self._models = models

    @_answers(get_model_status_pb2.GetModelStatusRequest, whole=True)
    async def GetModelStatus(self, call: _Call) -> bytes:
        """The states of a model's versions."""
        return model_info.status(self._models, _spec_of(call.request)).SerializeToString()

    @_answers(model_management_pb2.ReloadConfigRequest, whole=True)
    async def HandleReloadConfigRequest(self, call: _Call) -> bytes:
        """Serves other models, or other versions of them, from now on."""
        request = call.request
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                "ModelConfigList is currently supported"
            )
        await self._models.reload(request.config)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response.SerializeToString()

    def deadline(self, context: grpc.aio.ServicerContext) -> None:
        """Loading has a time limit of its own."""

    def count(self, request: Message, api: str, status: grpc.StatusCode, seconds: float) -> None:
        """Only requests to models are counted."""


def _spec_of(request: Any) -> ModelSpec:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return request.model_spec


def _answered(version: Any, spec: ModelSpec) -> ModelSpec:
    return model_info.spec_of(version, spec.signature_name or DEFAULT_SIGNATURE)


def handlers(service: PredictionService | ModelService) -> grpc.GenericRpcHandler:
    """The methods of a service, which take and give bytes: no message is read on the event loop."""
    return grpc.method_handlers_generic_handler(
        service.NAME,
        {
            name: grpc.unary_unary_rpc_method_handler(getattr(service, name))
            for name in service.METHODS
        },
    )
