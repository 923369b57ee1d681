"""TensorFlow Serving's monitoring file: whether there are metrics, and where.

Its message is in no Python package, so it is described here, after
tensorflow_serving/config/monitoring_config.proto.
"""

from __future__ import annotations

import pathlib

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from serving.metrics import DEFAULT_PATH


def metrics_path(path: pathlib.Path) -> str | None:
    """Where a monitoring file wants the metrics: the path of a URL, or None for no metrics.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is no MonitoringConfig in text form.
    """
    config = _message_class()()
    try:
        text_format.Parse(path.read_text(), config)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no monitoring config in text form: {error}") from error
    prometheus = config.prometheus_config
    if not prometheus.enable:
        return None
    if prometheus.path and not prometheus.path.startswith("/"):
        raise ValueError(f"The path of metrics starts with /. Received: {prometheus.path!r}")
    return prometheus.path or DEFAULT_PATH


def _message_class() -> type:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="serving/monitoring_config.proto", package="serving", syntax="proto3"
    )
    prometheus = file.message_type.add(name="PrometheusConfig")
    prometheus.field.add(name="enable", number=1, type=field.TYPE_BOOL, label=1)
    prometheus.field.add(name="path", number=2, type=field.TYPE_STRING, label=1)
    monitoring = file.message_type.add(name="MonitoringConfig")
    monitoring.field.add(
        name="prometheus_config",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=".serving.PrometheusConfig",
        label=1,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("serving.MonitoringConfig"))
