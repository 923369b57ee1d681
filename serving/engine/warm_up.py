"""The warm-up requests that a SavedModel brings along."""

from __future__ import annotations

import pathlib

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow_serving.apis import model_pb2, prediction_log_pb2

from serving.engine import examples
from serving.engine.servable import Servable
from serving.errors import ServingError, from_tensorflow

FILE = "assets.extra/tf_serving_warmup_requests"
# As in TensorFlow Serving's saved_model_warmup_util.h.
MOST_RECORDS = 1000
# Length and two checksums around each record (TensorFlow's lib/io/record_writer.h).
FRAME_BYTES = 16


def replay(servable: Servable) -> set[str]:
    """Sends a version its warm-up requests, and says which signatures they ran.

    They are PredictionLog messages in a TFRecord file (TensorFlow Serving's guide "SavedModel
    Warmup"); a version without the file has none.

    Raises ServingError for a file that cannot be read to its end, more than 1000 records, a kind
    of record that cannot be replayed, and a request that fails. TensorFlow Serving takes a file
    that is no TFRecord for an empty one.
    """
    path = servable.path / FILE
    if not path.is_file():
        return set()
    signatures = set()
    for number, record in enumerate(_records(path)):
        try:
            for signature_name, inputs, outputs in _runs(servable, record):
                servable.run(signature_name, inputs, outputs)
                signatures.add(signature_name)
        except ServingError as error:
            raise ServingError(
                error.code, f"Warm-up request {number} of {path} failed: {error.message}"
            ) from error
    return signatures


def _records(path: pathlib.Path) -> list[prediction_log_pb2.PredictionLog]:
    records = []
    size = 0
    try:
        for data in tf.data.TFRecordDataset(str(path)).take(MOST_RECORDS + 1).as_numpy_iterator():
            records.append(prediction_log_pb2.PredictionLog.FromString(data))
            size += len(data) + FRAME_BYTES
    except tf.errors.OpError as error:
        raise ServingError(
            from_tensorflow(error).code,
            f"The warm-up file {path} is damaged after {len(records)} records: {error.message}",
        ) from error
    except message.DecodeError as error:
        raise ServingError(
            grpc.StatusCode.DATA_LOSS,
            f"Record {len(records)} of the warm-up file {path} is no PredictionLog: {error}",
        ) from error
    if len(records) > MOST_RECORDS:
        raise ServingError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"The warm-up file {path} may hold {MOST_RECORDS} records at most. Received: more",
        )
    # TensorFlow takes a piece that is shorter than a record's head for the end of the file.
    if size != path.stat().st_size:
        raise ServingError(
            grpc.StatusCode.DATA_LOSS,
            f"The warm-up file {path} is damaged after {len(records)} records: it does not end there",
        )
    return records


def _runs(
    servable: Servable, record: prediction_log_pb2.PredictionLog
) -> list[tuple[str, dict[str, np.ndarray], list[str] | None]]:
    """Signature, inputs and outputs of each run that a request asks for."""
    kind = record.WhichOneof("log_type")
    if kind == "predict_log":
        request = record.predict_log.request
        inputs = {alias: tf.make_ndarray(value) for alias, value in request.inputs.items()}
        return [(_name(request.model_spec), inputs, list(request.output_filter) or None)]
    if kind in ("classify_log", "regress_log"):
        request = getattr(record, kind).request
        return [_examples_run(servable, request.model_spec, request.input)]
    if kind == "multi_inference_log":
        request = record.multi_inference_log.request
        return [_examples_run(servable, task.model_spec, request.input) for task in request.tasks]
    raise ServingError(
        grpc.StatusCode.UNIMPLEMENTED,
        "Only Predict, Classify, Regress and MultiInference can be replayed. "
        f"Received: {kind or 'an empty record'}",
    )


def _examples_run(
    servable: Servable, spec: model_pb2.ModelSpec, request_input: object
) -> tuple[str, dict[str, np.ndarray], None]:
    name = _name(spec)
    signature = servable.signatures.get(name)
    # Classify and Regress have one input, whatever its alias.
    aliases = list(signature.inputs) if signature else []
    alias = aliases[0] if len(aliases) == 1 else "inputs"
    return name, {alias: examples.serialized(request_input)}, None


def _name(spec: model_pb2.ModelSpec) -> str:
    return spec.signature_name or "serving_default"
