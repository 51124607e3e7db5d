"""kubernetes.yaml: its form by the schemas of Kubernetes, and what must hold of its pods."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from broker.core.settings import BrokerSettings
from broker.core.settings_schema import settings_of
from broker.http.request.query_params import ScaleQuery, parse
from broker.models.scale import Scale
from worker.settings import WorkerSettings
from worker.table.table import read_table

DEPLOYMENTS = ["titan-broker", "titan-worker"]


@pytest.fixture(scope="module")
def objects(deploy: Path) -> list[dict[str, Any]]:
    """The objects of the file, in order."""
    return list(yaml.safe_load_all((deploy / "kubernetes.yaml").read_text()))


def test_kubernetes_objects_have_the_form_of_their_schemas(objects: list[dict[str, Any]]) -> None:
    """Every object is valid, and has no field that Kubernetes 1.31 would drop."""
    assert len(objects) > 0
    for item in objects:
        kubernetes_validate.validate(item, "1.31", strict=True)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_kubernetes_keeps_service_names_out_of_the_environment(objects: list[dict[str, Any]], name: str) -> None:
    """The TITAN_ variables that Kubernetes would make of a Service's name do not stop a start."""
    assert _pod(objects, name)["enableServiceLinks"] is False
    assert "titan" not in [item["metadata"]["name"] for item in objects if item["kind"] == "Service"]


def test_kubernetes_asks_whether_a_broker_lives_and_whether_it_is_ready(objects: list[dict[str, Any]]) -> None:
    """A store that is away takes brokers out of the Service, and restarts none."""
    broker = _pod(objects, "titan-broker")["containers"][0]
    assert broker["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert broker["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_kubernetes_gives_a_broker_time_to_stop(objects: list[dict[str, Any]]) -> None:
    """The time in which it still listens, and its grace, fit into the time before the kill."""
    pod = _pod(objects, "titan-broker")
    settings = _named(objects, "ConfigMap", "titan-broker")["data"]
    delay_s = int(settings["TITAN_DRAIN_DELAY_S"])
    assert delay_s >= 5
    assert pod["terminationGracePeriodSeconds"] >= delay_s + BrokerSettings().shutdown_grace_s + 5


def test_kubernetes_gives_a_worker_time_to_stop(objects: list[dict[str, Any]]) -> None:
    """The worker's own grace, and the time that jobs get between TERM and KILL, fit into the time before the kill."""
    own_s = WorkerSettings().grace_s + WorkerSettings().kill_after_s
    assert _pod(objects, "titan-worker")["terminationGracePeriodSeconds"] >= own_s + 5


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_kubernetes_gives_no_pod_more_than_it_needs(objects: list[dict[str, Any]], name: str) -> None:
    """Not root, a read-only root file system, no capability, no token of the cluster: the `restricted` standard."""
    pod = _pod(objects, name)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_kubernetes_service_leads_to_the_brokers(objects: list[dict[str, Any]]) -> None:
    """The Service and the disruption budget select the brokers' pods, and the worker asks the Service."""
    labels = _named(objects, "Deployment", "titan-broker")["spec"]["template"]["metadata"]["labels"]
    service = _named(objects, "Service", "titan-broker")
    assert service["spec"]["selector"] == labels
    assert _named(objects, "PodDisruptionBudget", "titan-broker")["spec"]["selector"]["matchLabels"] == labels
    url = {item["name"]: item["value"] for item in _pod(objects, "titan-worker")["containers"][0]["env"]}
    assert url["TITAN_BROKER_URL"] == f"http://titan-broker:{service['spec']['ports'][0]['port']}"


def test_kubernetes_sets_only_variables_that_are_settings(objects: list[dict[str, Any]]) -> None:
    """No TITAN_ variable of a pod stops its start."""
    known = {s.variable for struct in (BrokerSettings, WorkerSettings) for s in settings_of(struct)}
    used = set(_named(objects, "ConfigMap", "titan-broker")["data"])
    used |= {item["name"] for item in _pod(objects, "titan-worker")["containers"][0]["env"]}
    assert used <= known


def test_kubernetes_worker_has_a_table_that_it_can_read(objects: list[dict[str, Any]], tmp_path: Path) -> None:
    """The file of the ConfigMap is where the worker looks for it, and is right."""
    pod = _pod(objects, "titan-worker")
    mounts = {item["name"]: item["mountPath"] for item in pod["containers"][0]["volumeMounts"]}
    (volume,) = [item["name"] for item in pod["volumes"] if item.get("configMap") == {"name": "titan-worker"}]
    assert pod["containers"][0]["args"] == ["worker", "--config", f"{mounts[volume]}/worker.toml"]
    file = tmp_path / "worker.toml"
    file.write_text(_named(objects, "ConfigMap", "titan-worker")["data"]["worker.toml"])
    assert read_table(WorkerSettings(config=str(file))).names == ["hello"]


def test_keda_scales_the_worker_by_what_the_broker_says(deploy: Path, objects: list[dict[str, Any]]) -> None:
    """keda.yaml: its trigger asks the Service for a number that the route gives, and holds pods while that is a 503."""
    secret, scaled = yaml.safe_load_all((deploy / "keda.yaml").read_text())
    spec, [trigger] = scaled["spec"], scaled["spec"]["triggers"]
    assert {item["kind"] for item in (secret, scaled)} == {"TriggerAuthentication", "ScaledObject"}
    assert spec["scaleTargetRef"]["name"] == _named(objects, "Deployment", "titan-worker")["metadata"]["name"]
    assert (spec["minReplicaCount"], spec["fallback"]["replicas"]) == (0, 2)
    assert (trigger["type"], trigger["metricType"]) == ("metrics-api", "AverageValue")  # fallback takes no other
    metadata = trigger["metadata"]
    url = urlsplit(metadata["url"])
    service = _named(objects, "Service", "titan-broker")
    assert url.netloc == f"{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    group = re.fullmatch("/v1/groups/([a-z]+)/scale", url.path)
    assert group is not None
    query = parse(ScaleQuery, url.query)
    assert (query.per_worker, query.max) == (WorkerSettings().concurrency, spec["maxReplicaCount"])
    assert metadata["valueLocation"] in Scale.__struct_fields__
    assert (metadata["targetValue"], metadata["authMode"]) == ("1", "bearer")
    assert trigger["authenticationRef"]["name"] == secret["metadata"]["name"]
    assert secret["spec"]["secretTargetRef"][0]["parameter"] == "token"


def _named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name)


def _pod(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    pod: dict[str, Any] = _named(objects, "Deployment", name)["spec"]["template"]["spec"]
    return pod
