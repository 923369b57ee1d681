"""Requests on file, as TensorFlow Serving replays them: PredictionLog records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

WARM_UP_SIZES = (1, 2, 4, 8, 16, 32)
GREY = 128


def prediction_log(
    signature: str,
    inputs: Mapping[str, tf.make_ndarray],
    outputs: Mapping[str, np.ndarray] | None = None,
) -> prediction_log_pb2.PredictionLog:
    """One request to a signature, and what it is to answer.

    Args:
        signature: Its name.
        inputs: Alias to array or TensorProto.
        outputs: Alias to array; None for a request alone.
    """
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = "model"  # TensorFlow Serving replays it whatever its name.
    request.model_spec.signature_name = signature
    for tensors, values in ((request.inputs, inputs), (log.predict_log.response.outputs, outputs)):
        for alias, value in (values or {}).items():
            is_proto = hasattr(value, "tensor_shape")
            tensors[alias].CopyFrom(value if is_proto else tf.make_tensor_proto(value))
    return log


def write_logs(path: Path, logs: Iterable[prediction_log_pb2.PredictionLog]) -> None:
    """Write records to a TFRecord file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as file:
        for log in logs:
            file.write(log.SerializeToString())


def read_logs(path: Path) -> list[prediction_log_pb2.PredictionLog]:
    """The records of a TFRecord file.

    Raises:
        tf.errors.DataLossError: The file is damaged.
    """
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in records]


def warm_up_logs(
    input_names: Mapping[str, str], image_shape: tuple[int, int, int], embedding_dim: int
) -> list[prediction_log_pb2.PredictionLog]:
    """A request of every usual batch size to every signature: grey images, or one embedding.

    Args:
        input_names: Signature to its input, `images`, `image_bytes` or `embedding`.
        image_shape: (H, W, 3) of the encoder's images.
        embedding_dim: d.
    """
    file = tf.io.encode_png(np.full(image_shape, GREY, np.uint8)).numpy()
    logs = []
    for signature, input_name in input_names.items():
        for size in WARM_UP_SIZES:
            if input_name == "image_bytes":
                tensor = tf.make_tensor_proto([file] * size)
            elif input_name == "embedding":
                tensor = tf.make_tensor_proto(1.0, tf.float32, [size, embedding_dim])
            else:
                # One value stands for all, which keeps the file small.
                tensor = tf.make_tensor_proto(GREY, tf.uint8, [size, *image_shape])
            logs.append(prediction_log(signature, {input_name: tensor}))
    return logs
