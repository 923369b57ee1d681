from __future__ import annotations

import json

import pytest
import tensorflow as tf

from and_tf.distribution.cluster import Cluster
from and_tf.errors import RunError


def config(cluster: dict, kind: str = "worker", index: int | str = 0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize("text", [None, "", " "])
def test_without_tf_config_this_machine_is_alone(monkeypatch, text):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    cluster = Cluster.of_environment()
    assert cluster.is_chief and cluster.count == 1


def test_workers_come_in_their_order(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config({"worker": ["a:1", "b:2"]}, index="1"))
    cluster = Cluster.of_environment()
    assert (cluster.addresses, cluster.rank) == (("a:1", "b:2"), 1)
    assert not cluster.is_chief and cluster.name(1) == "worker 1 (b:2)"


def test_a_chief_comes_first(monkeypatch):
    jobs = {"worker": ["a:1", "b:2"], "chief": ["c:3"]}
    monkeypatch.setenv("TF_CONFIG", config(jobs, "chief"))
    assert Cluster.of_environment().is_chief
    monkeypatch.setenv("TF_CONFIG", config(jobs))
    cluster = Cluster.of_environment()
    assert (cluster.addresses, cluster.rank) == (("c:3", "a:1", "b:2"), 1)


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "should read like .*Received: {"),
        ("[]", "should read like"),
        ('{"cluster": {"worker": ["a:1"]}}', "should read like"),
        (config({"worker": ["a:1"]}, index="x"), "should read like"),
        (config({"worker": "a:1"}), "should read like"),
        (config({"worker": {"0": "a:1"}}), "should read like"),
        (config({"worker": ["a", "b:1"]}), 'reads "host:port". Received: "a"'),
        (config({"worker": [1, "b:1"]}), 'reads "host:port". Received: 1'),
        (config({"worker": ["a:1", "a:1"]}), "address of its own. Received: a:1 twice"),
        (config({"worker": ["a:1"], "ps": ["b:1"]}), "a chief and workers. Received: ps"),
        (config({"worker": ["a:1"]}, index=1), "one of the cluster's. Received: worker 1"),
        (config({"worker": ["a:1"]}, "chief"), "one of the cluster's. Received: chief 0"),
    ],
)
def test_what_tf_config_must_not_say(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(RunError, match=message):
        Cluster.of_environment()


def test_a_lost_worker_is_named():
    cluster = Cluster(("a:1", "b:2", "c:3"), 1, (("chief", 0), ("worker", 0), ("worker", 1)))
    error = tf.errors.UnavailableError(None, None, "target /job:worker/replica:0/task:1 is down")
    message = cluster.explain_loss(error)
    assert "worker 1 (b:2) stops: worker 2 (c:3) does not answer" in message
    assert "--resume" in message
    by = "{{function_node on /job:worker/replica:0/task:0/device:CPU:0}} "
    others = tf.errors.UnavailableError(None, None, by + "/job:chief/replica:0/task:0 is down")
    assert "stops: worker 0 (a:1) does not answer" in cluster.explain_loss(others)
    itself = tf.errors.UnavailableError(None, None, "/job:worker/replica:0/task:0 is down")
    assert "stops: another worker does not answer" in cluster.explain_loss(itself)
    aborted = tf.errors.InternalError(None, None, "Collective ops is aborted")
    assert "stops: another worker does not answer" in cluster.explain_loss(aborted)


def test_clusters_of_different_sizes_are_told_from_a_loss():
    cluster = Cluster(("a:1", "b:2"), 0, (("worker", 0), ("worker", 1)))
    text = "Device ... is joining a group with size2, but that group has size 3 (group_key=1)"
    message = cluster.explain_loss(tf.errors.InternalError(None, None, "Collective: " + text))
    assert "the same machines" in message and "Received: a:1, b:2 here" in message


def test_other_errors_are_no_loss():
    cluster = Cluster(("a:1", "b:2"), 0, (("worker", 0), ("worker", 1)))
    for error in (ValueError("Collective"), tf.errors.InternalError(None, None, "a bug")):
        assert cluster.explain_loss(error) is None
    lost = tf.errors.UnavailableError(None, None, "gone")
    assert Cluster().explain_loss(lost) is None
