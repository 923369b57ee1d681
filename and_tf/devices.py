"""On which devices a run trains: `train.devices`."""

from __future__ import annotations

from typing import Literal

import tensorflow as tf


def choose_strategy(devices: Literal["auto", "cpu", "gpu"] | int) -> tf.distribute.Strategy:
    """The strategy under whose scope a model is to be made. Call it before TensorFlow computes.

    Args:
        devices: "auto" takes all visible GPUs, or the CPU where there is none; "gpu" all visible
            GPUs; "cpu" the CPU. A number is that of the replicas, on as many GPUs, or where there
            is none on as many logical devices that share the CPU, which is for tests.

    Raises:
        ValueError: Devices that are not there, several machines, or a division of the CPU after
            TensorFlow has begun to compute.
    """
    workers = tf.distribute.cluster_resolver.TFConfigClusterResolver().cluster_spec().as_dict()
    if sum(map(len, workers.values())) > 1:
        raise ValueError(
            "train.devices: training on several machines is not supported; unset TF_CONFIG. "
            f"Received: TF_CONFIG with the cluster {workers}"
        )
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
