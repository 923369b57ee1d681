"""The deployment files: each is what its reader expects, and they agree with each other."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf import wrappers_pb2 as wrappers
from google.protobuf.message import Message
from tensorflow_serving.config import model_server_config_pb2

DEPLOY = Path(__file__).resolve().parents[3] / "serving" / "deploy"
IMAGE = "tensorflow/serving:2.20.0"

Field = descriptor_pb2.FieldDescriptorProto
INT64_VALUE = ".google.protobuf.Int64Value"
# tensorflow-serving-api has these two messages' files left out. Fields as in TensorFlow Serving's
# servables/tensorflow/session_bundle_config.proto and config/monitoring_config.proto.
MESSAGES = {
    "BatchingParameters": [
        ("max_batch_size", 1, INT64_VALUE, False),
        ("batch_timeout_micros", 2, INT64_VALUE, False),
        ("max_enqueued_batches", 3, INT64_VALUE, False),
        ("num_batch_threads", 4, INT64_VALUE, False),
        ("thread_pool_name", 5, ".google.protobuf.StringValue", False),
        ("allowed_batch_sizes", 6, Field.TYPE_INT64, True),
        ("pad_variable_length_inputs", 7, Field.TYPE_BOOL, False),
    ],
    "PrometheusConfig": [
        ("enable", 1, Field.TYPE_BOOL, False),
        ("path", 2, Field.TYPE_STRING, False),
    ],
    "MonitoringConfig": [("prometheus_config", 1, ".test_deploy.PrometheusConfig", False)],
}


@pytest.fixture(scope="module")
def pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="test_deploy.proto",
        package="test_deploy",
        syntax="proto3",
        dependency=[wrappers.DESCRIPTOR.name],
    )
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, repeated in fields:
            field = message.field.add(name=field_name, number=number)
            field.label = Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type, field.type_name = Field.TYPE_MESSAGE, kind
            else:
                field.type = kind
    pool.AddSerializedFile(file.SerializeToString())
    return pool


@pytest.fixture(scope="module")
def parse(pool: descriptor_pool.DescriptorPool):
    def parse(text: str, name: str) -> Message:
        descriptor = pool.FindMessageTypeByName(f"test_deploy.{name}")
        return text_format.Parse(text, message_factory.GetMessageClass(descriptor)())

    return parse


def text_of(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.strip().startswith("#"))


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load(text_of("docker-compose.yml"))["services"]["tensorflow-serving"]


@pytest.fixture(scope="module")
def manifest() -> dict[str, dict]:
    """The Kubernetes objects by kind."""
    documents = list(yaml.safe_load_all(text_of("kubernetes.yaml")))
    by_kind = {document["kind"]: document for document in documents}
    assert len(by_kind) == len(documents)
    return by_kind


@pytest.fixture(scope="module")
def pod(manifest: dict[str, dict]) -> dict:
    return manifest["Deployment"]["spec"]["template"]["spec"]


def test_models_config_is_a_model_server_config() -> None:
    config = text_format.Parse(
        text_of("models.config"), model_server_config_pb2.ModelServerConfig()
    )
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == (
        "svhn",
        "/models/svhn",
        "tensorflow",
    )
    assert model.model_version_policy.latest.num_versions == 1


def test_batching_file_meets_what_batching_demands(parse) -> None:
    batching = parse(text_of("batching.config"), "BatchingParameters")
    sizes = list(batching.allowed_batch_sizes)
    assert sizes == sorted(set(sizes)), "allowed sizes must grow"
    assert sizes[-1] == batching.max_batch_size.value
    assert batching.num_batch_threads.value >= 1
    assert batching.max_enqueued_batches.value > 0


def test_a_misspelt_batching_key_would_be_seen(parse) -> None:
    with pytest.raises(text_format.ParseError, match="max_batchsize"):
        parse("max_batchsize { value: 32 }", "BatchingParameters")


def test_monitoring_file_turns_metrics_on(parse) -> None:
    monitoring = parse(text_of("monitoring.config"), "MonitoringConfig")
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_compose_mounts_every_file_it_names(compose: dict) -> None:
    assert compose["image"] == IMAGE
    mounts = {volume["target"]: volume for volume in compose["volumes"]}
    assert all(volume["read_only"] for volume in mounts.values())
    for target, volume in mounts.items():
        if target.startswith("/config/"):
            assert (DEPLOY / volume["source"]).is_file()
            assert any(argument.endswith(f"={target}") for argument in compose["command"])
    named = [argument.split("=")[1] for argument in compose["command"] if "=/" in argument]
    assert set(named) <= set(mounts)
    assert "/models" in mounts


def test_compose_is_bound_to_loopback_and_runs_unprivileged(compose: dict) -> None:
    assert all(port.startswith("127.0.0.1:") for port in compose["ports"])
    assert compose["user"].split(":")[0] != "0"
    assert compose["read_only"] is True
    assert compose["cap_drop"] == ["ALL"]
    assert "/v1/models/svhn/metadata" in compose["healthcheck"]["test"][-1]


def test_kubernetes_objects_select_each_other(manifest: dict[str, dict], pod: dict) -> None:
    kinds = {
        "ConfigMap",
        "PersistentVolumeClaim",
        "Deployment",
        "Service",
        "PodDisruptionBudget",
    }
    assert set(manifest) == kinds
    assert all({"apiVersion", "metadata"} <= set(document) for document in manifest.values())
    labels = manifest["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert manifest["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert manifest["Service"]["spec"]["selector"] == labels
    assert manifest["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    assert {port["targetPort"] for port in manifest["Service"]["spec"]["ports"]} == set(ports)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert volumes["config"]["configMap"]["name"] == manifest["ConfigMap"]["metadata"]["name"]
    claim = volumes["exports"]["persistentVolumeClaim"]["claimName"]
    assert claim == manifest["PersistentVolumeClaim"]["metadata"]["name"]


def test_kubernetes_probes_tell_ready_from_alive(pod: dict) -> None:
    (container,) = pod["containers"]
    assert container["image"] == IMAGE
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models/svhn/metadata"
    assert container["livenessProbe"]["httpGet"]["path"] == "/v1/models/svhn"
    assert {"requests", "limits"} <= set(container["resources"])
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert waits < pod["terminationGracePeriodSeconds"]


def test_kubernetes_pod_is_not_root(pod: dict) -> None:
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("name", ["models.config", "batching.config", "monitoring.config"])
def test_kubernetes_holds_the_same_configuration(manifest: dict[str, dict], name: str) -> None:
    def tokens(text: str) -> list[str]:
        return without_comments(text).split()

    assert tokens(manifest["ConfigMap"]["data"][name]) == tokens(text_of(name))


def test_compose_and_kubernetes_start_the_same_server(compose: dict, pod: dict) -> None:
    (container,) = pod["containers"]
    assert compose["entrypoint"] == container["command"]
    assert compose["command"] == container["args"]
