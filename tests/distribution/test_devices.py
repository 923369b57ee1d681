from __future__ import annotations

import types

import pytest
import tensorflow as tf

from and_tf.distribution import devices
from and_tf.distribution.cluster import Cluster
from and_tf.distribution.devices import choose_strategy


def see(monkeypatch, gpus: int) -> None:
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: list(range(gpus)))


@pytest.mark.parametrize("asked_for", ["auto", "cpu", 1])
def test_one_device_needs_no_strategy(asked_for):
    assert choose_strategy(asked_for) is tf.distribute.get_strategy()


@pytest.mark.parametrize("asked_for, gpus", [("auto", 3), ("gpu", 3), (2, 2)])
def test_gpus_are_all_taken_or_as_many_as_asked_for(monkeypatch, asked_for, gpus):
    see(monkeypatch, 3)
    monkeypatch.setattr(devices.tf.distribute, "MirroredStrategy", list)
    assert choose_strategy(asked_for) == [f"GPU:{number}" for number in range(gpus)]


def test_a_single_gpu_needs_no_strategy(monkeypatch):
    see(monkeypatch, 1)
    assert choose_strategy("gpu") is tf.distribute.get_strategy()


def test_gpus_that_are_not_there_are_refused(monkeypatch):
    see(monkeypatch, 0)
    with pytest.raises(ValueError, match="sees no GPU"):
        choose_strategy("gpu")
    see(monkeypatch, 2)
    with pytest.raises(ValueError, match="sees 2 GPUs here.*Received: 3"):
        choose_strategy(3)


def test_the_cpu_is_divided_before_it_is_used_only():
    tf.zeros(1)
    with pytest.raises(ValueError, match="computes on the CPU already.*Received: 2"):
        choose_strategy(2)


def test_of_several_machines_each_has_one_cpu():
    with pytest.raises(ValueError, match="each has one CPU; set it to 1. Received: 2"):
        choose_strategy(2, Cluster(("one:1", "two:1")))


def test_a_silent_worker_is_given_up_in_the_time_asked_for(monkeypatch):
    runtime, told = types.SimpleNamespace(configure_coordination_service=dict), {}
    monkeypatch.setattr(devices, "context", types.SimpleNamespace(context=lambda: runtime))

    def join() -> None:  # as TensorFlow's strategy does
        told.update(runtime.configure_coordination_service(service_type="standalone"))

    monkeypatch.setattr(devices.tf.distribute, "MultiWorkerMirroredStrategy", join)
    choose_strategy("cpu", Cluster(("one:1", "two:1")), worker_timeout=4.5)
    # Of the first worker it takes the others up to twice as long.
    assert told == {"service_type": "standalone", "heartbeat_timeout_in_ms": 2250}
