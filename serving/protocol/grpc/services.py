"""TensorFlow Serving's gRPC services on the models: PredictionService, ModelService, health.

Follows its model_servers/prediction_service_impl.cc and model_service_impl.cc.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)
from tensorflow_serving.apis.model_pb2 import ModelSpec

from serving.engine import examples
from serving.engine.models import Models
from serving.errors import ServingError, invalid
from serving.metrics import Metrics
from serving.protocol import model_info
from serving.protocol.example_results import Classes
from serving.protocol.grpc import tensors
from serving.protocol.inference import DEFAULT_SIGNATURE, Inference, Task

# Messages travel in HTTP/2 headers, of which clients take 8 KiB.
_LONGEST_MESSAGE = 4096

_logger = logging.getLogger(__name__)
_Method = Callable[[Any, Message, grpc.aio.ServicerContext], Awaitable[Message]]


def _answers(method: _Method) -> _Method:
    """Gives errors as statuses, and counts the request."""

    @functools.wraps(method)
    async def answer(self: Any, request: Message, context: grpc.aio.ServicerContext) -> Message:
        # What neither answers nor fails was cancelled.
        start, status = time.perf_counter(), grpc.StatusCode.CANCELLED
        try:
            response = await method(self, request, context)
            status = grpc.StatusCode.OK
            return response
        except ServingError as error:
            status = error.code
            if error.retry_after is not None:
                pushback = str(round(error.retry_after * 1000))
                context.set_trailing_metadata((("grpc-retry-pushback-ms", pushback),))
            await context.abort(error.code, error.message[:_LONGEST_MESSAGE])
        except Exception:
            status = grpc.StatusCode.INTERNAL
            _logger.exception("%s failed", method.__name__)
            await context.abort(status, "Internal error")
        finally:
            self.count(request, method.__name__, status, time.perf_counter() - start)

    return answer


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict, Classify, Regress, MultiInference and GetModelMetadata."""

    def __init__(self, inference: Inference, metrics: Metrics, largest_tensor: int) -> None:
        self._inference = inference
        self._metrics = metrics
        self._largest_tensor = largest_tensor

    @_answers
    async def Predict(
        self, request: predict_pb2.PredictRequest, context: grpc.aio.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """The outputs of a signature."""
        spec = _spec_of(request)
        with self._inference.use(spec) as version:
            outputs = await self._inference.predict(
                version,
                spec.signature_name,
                tensors.read_tensors(request.inputs, self._largest_tensor),
                request.output_filter,
                _deadline(context),
            )
            response = predict_pb2.PredictResponse(model_spec=_answered(version, spec))
            for alias, array in outputs.items():
                response.outputs[alias].CopyFrom(tensors.write_tensor(array))
            return response

    @_answers
    async def Classify(
        self, request: classification_pb2.ClassificationRequest, context: grpc.aio.ServicerContext
    ) -> classification_pb2.ClassificationResponse:
        """The classes of examples."""
        spec = _spec_of(request)
        with self._inference.use(spec) as version:
            classes = await self._inference.classify(
                version, spec.signature_name, examples.serialized(request.input), _deadline(context)
            )
            return classification_pb2.ClassificationResponse(
                model_spec=_answered(version, spec), result=_classification(classes)
            )

    @_answers
    async def Regress(
        self, request: regression_pb2.RegressionRequest, context: grpc.aio.ServicerContext
    ) -> regression_pb2.RegressionResponse:
        """The values of examples."""
        spec = _spec_of(request)
        with self._inference.use(spec) as version:
            values = await self._inference.regress(
                version, spec.signature_name, examples.serialized(request.input), _deadline(context)
            )
            return regression_pb2.RegressionResponse(
                model_spec=_answered(version, spec), result=_regression(values)
            )

    @_answers
    async def MultiInference(
        self, request: inference_pb2.MultiInferenceRequest, context: grpc.aio.ServicerContext
    ) -> inference_pb2.MultiInferenceResponse:
        """Several questions about the same examples, to one model."""
        specs = [task.model_spec for task in request.tasks]
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
                [Task(task.model_spec.signature_name, task.method_name) for task in request.tasks],
                examples.serialized(request.input),
                _deadline(context),
            )
            response = inference_pb2.MultiInferenceResponse()
            for spec, result in zip(specs, results, strict=True):
                entry = response.results.add(model_spec=_answered(version, spec))
                if isinstance(result, Classes):
                    entry.classification_result.CopyFrom(_classification(result))
                else:
                    entry.regression_result.CopyFrom(_regression(result))
            return response

    @_answers
    async def GetModelMetadata(
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: grpc.aio.ServicerContext,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures of a model."""
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
            return response

    def count(self, request: Message, api: str, status: grpc.StatusCode, seconds: float) -> None:
        """Counts an answered request."""
        specs = [request, *getattr(request, "tasks", ())]
        name = next((s.model_spec.name for s in specs if hasattr(s, "model_spec")), "")
        if name in self._inference.models.names:
            self._metrics.observe_request(name, api, "GRPC", status.name, seconds)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, models: Models) -> None:
        self._models = models

    @_answers
    async def GetModelStatus(
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        context: grpc.aio.ServicerContext,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """The states of a model's versions."""
        return model_info.status(self._models, _spec_of(request))

    @_answers
    async def HandleReloadConfigRequest(
        self,
        request: model_management_pb2.ReloadConfigRequest,
        context: grpc.aio.ServicerContext,
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serves other models, or other versions of them, from now on."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                "ModelConfigList is currently supported"
            )
        await self._models.reload(request.config)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response

    def count(self, request: Message, api: str, status: grpc.StatusCode, seconds: float) -> None:
        """Only requests to models are counted."""


def _spec_of(request: Any) -> ModelSpec:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return request.model_spec


def _answered(version: Any, spec: ModelSpec) -> ModelSpec:
    return model_info.spec_of(version, spec.signature_name or DEFAULT_SIGNATURE)


def _deadline(context: grpc.aio.ServicerContext) -> float | None:
    remaining = context.time_remaining()
    return None if remaining is None else time.monotonic() + remaining


def _classification(classes: Classes) -> classification_pb2.ClassificationResult:
    result = classification_pb2.ClassificationResult()
    for row in classes.rows():
        classifications = result.classifications.add()
        for label, score in row:
            classifications.classes.add(label=label, score=score)
    return result


def _regression(values: Any) -> regression_pb2.RegressionResult:
    result = regression_pb2.RegressionResult()
    for value in values.tolist():
        result.regressions.add(value=value)
    return result
