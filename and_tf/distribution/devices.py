"""On which devices a run trains: `train.devices`."""

from __future__ import annotations

import functools
from typing import Literal

import tensorflow as tf
from tensorflow.python.eager import context

from and_tf.distribution.cluster import Cluster


def choose_strategy(
    devices: Literal["auto", "cpu", "gpu"] | int,
    cluster: Cluster | None = None,
    worker_timeout: float = 60.0,
) -> tf.distribute.Strategy:
    """The strategy under whose scope a model is to be made. Call it before TensorFlow computes.

    Args:
        devices: "auto" takes all visible GPUs, or the CPU where there is none; "gpu" all visible
            GPUs; "cpu" the CPU. A number is that of the replicas, on as many GPUs, or where there
            is none on as many logical devices that share the CPU, which is for tests. Of several
            machines, those of each.
        cluster: The machines, that of TF_CONFIG by default. With several it waits until all are there.
        worker_timeout: Seconds in which a machine that does not answer any more is given up.

    Raises:
        ValueError: Devices that are not there, a division of the CPU after TensorFlow has begun to
            compute or on several machines, a malformed TF_CONFIG, or machines that do not come.
    """
    cluster = cluster or Cluster.of_environment()
    if devices == "cpu" and tf.config.get_visible_devices("GPU"):
        _hide_gpus()
    gpus = tf.config.get_visible_devices("GPU")
    if devices == "gpu" and not gpus:
        raise ValueError(
            'train.devices: TensorFlow sees no GPU here; set it to "auto" or "cpu". Received: "gpu"'
        )
    if isinstance(devices, int) and gpus and devices > len(gpus):
        raise ValueError(
            f"train.devices: TensorFlow sees {len(gpus)} GPUs here; ask for that many or less, or "
            f"hide them by CUDA_VISIBLE_DEVICES= to train on the CPU. Received: {devices}"
        )
    replicas = devices if isinstance(devices, int) else len(gpus)
    if cluster.count > 1:
        return _join(cluster, gpus[:replicas], replicas, worker_timeout)
    if replicas <= 1:
        return tf.distribute.get_strategy()
    if gpus:
        return tf.distribute.MirroredStrategy([f"GPU:{number}" for number in range(replicas)])
    _divide_cpu(replicas)
    # TensorFlow's collective operations would admit one strategy a process on logical devices.
    return tf.distribute.MirroredStrategy(
        [f"CPU:{number}" for number in range(replicas)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


def _join(
    cluster: Cluster, gpus: list, replicas: int, worker_timeout: float
) -> tf.distribute.MultiWorkerMirroredStrategy:
    """The strategy of several machines, once all of them are there."""
    if not gpus and replicas > 1:
        raise ValueError(
            "train.devices: of several machines each has one CPU; set it to 1. "
            f"Received: {replicas}"
        )
    if gpus:
        tf.config.set_visible_devices(gpus, "GPU")
    # The strategy's own call leaves TensorFlow's 10 s, and there is no public way to set them. The
    # first worker misses the signs of life of the others, and they its answers after up to twice as long.
    runtime = context.context()
    runtime.configure_coordination_service = functools.partial(
        runtime.configure_coordination_service,
        heartbeat_timeout_in_ms=max(1, int(1000 * worker_timeout / 2)),
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, tf.errors.OpError) as error:
        raise ValueError(
            f"The machines of TF_CONFIG did not come together: {str(error).splitlines()[0]}. Each needs "
            f"its port to itself. Received: {cluster.name(cluster.rank)} of {', '.join(cluster.addresses)}"
        ) from error


def _hide_gpus() -> None:
    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError as error:
        raise ValueError(
            "train.devices: TensorFlow uses the GPUs already; begin a fresh process with "
            'CUDA_VISIBLE_DEVICES= set. Received: "cpu"'
        ) from error


def _divide_cpu(number: int) -> None:
    (cpu,) = tf.config.list_physical_devices("CPU")
    parts = tf.config.get_logical_device_configuration(cpu) or [None]
    if len(parts) >= number:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * number
        )
    except RuntimeError as error:
        raise ValueError(
            "train.devices: TensorFlow computes on the CPU already, which can be divided only "
            f"before; begin a fresh process. Received: {number}"
        ) from error
