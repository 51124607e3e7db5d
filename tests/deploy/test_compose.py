"""compose.yaml: its form by the Compose specification, and what must hold of its services."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from broker.core.settings import BrokerSettings
from broker.core.settings_schema import settings_of
from worker.settings import WorkerSettings

BROKERS = ["broker-a", "broker-b"]


@pytest.fixture(scope="module")
def compose(deploy: Path) -> dict[str, Any]:
    """The file with its anchors and merges carried out."""
    loaded: dict[str, Any] = yaml.safe_load((deploy / "compose.yaml").read_text())
    return loaded


def test_compose_has_the_form_of_the_specification(compose: dict[str, Any]) -> None:
    """Every key, duration, condition, network and volume is one that Compose knows."""
    PyCompose.from_yaml(yaml.safe_dump(compose)).validate()


def test_compose_check_finds_a_misspelt_key(compose: dict[str, Any]) -> None:
    """The check above would not pass over a typo."""
    text = yaml.safe_dump(compose).replace("read_only:", "readonly:")
    with pytest.raises(ValueError, match="readonly"):
        PyCompose.from_yaml(text)


def test_compose_has_a_store_two_brokers_and_a_worker(compose: dict[str, Any]) -> None:
    """The whole of Titan starts with one command."""
    assert sorted(compose["services"]) == [*BROKERS, "redis", "worker"]


def test_compose_publishes_ports_on_this_machine_only(compose: dict[str, Any]) -> None:
    """Nobody outside the machine reaches a broker, and nobody outside the network reaches the store."""
    published = {name: service.get("ports", []) for name, service in compose["services"].items()}
    assert published.pop("broker-a") == ["127.0.0.1:8080:8080"]
    assert published.pop("broker-b") == ["127.0.0.1:8081:8080"]
    assert not any(published.values())


def test_compose_lets_only_brokers_reach_the_store(compose: dict[str, Any]) -> None:
    """The store's network is internal, and the worker is not on it."""
    on_store = [name for name, service in compose["services"].items() if "store" in service["networks"]]
    assert sorted(on_store) == [*BROKERS, "redis"]
    assert compose["networks"]["store"] == {"internal": True}


def test_compose_starts_the_store_with_redis_conf(deploy: Path, compose: dict[str, Any]) -> None:
    """Redis reads the redis.conf of this folder, and keeps its files in a volume."""
    store = compose["services"]["redis"]
    assert store["command"][:2] == ["redis-server", "/etc/redis/redis.conf"]
    assert "./redis.conf:/etc/redis/redis.conf:ro" in store["volumes"]
    assert (deploy / "redis.conf").is_file()
    assert f"redis:{store['command'][-1]}" in store["volumes"]


def test_compose_starts_each_after_what_it_needs(compose: dict[str, Any]) -> None:
    """Brokers wait until the store answers, the worker until the brokers are ready."""
    healthy = {"condition": "service_healthy"}
    services = compose["services"]
    assert all(services[name]["depends_on"] == {"redis": healthy} for name in BROKERS)
    assert services["worker"]["depends_on"] == dict.fromkeys(BROKERS, healthy)
    assert all(services[name]["healthcheck"]["test"][-1] == "/readyz" for name in BROKERS)


def test_compose_has_one_log_folder_for_both_brokers(compose: dict[str, Any]) -> None:
    """A log that one broker stored is read through the other."""
    assert [compose["services"][name]["volumes"] for name in BROKERS] == [["logs:/var/lib/titan"]] * 2


def test_compose_gives_no_service_more_than_it_needs(compose: dict[str, Any]) -> None:
    """Each root is read-only, without capabilities, and none is gained."""
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_compose_lets_each_stop_by_itself(compose: dict[str, Any]) -> None:
    """No service is killed before its own grace is over."""
    worker_s = WorkerSettings().grace_s + WorkerSettings().kill_after_s
    own_s = dict.fromkeys(BROKERS, BrokerSettings().shutdown_grace_s) | {"redis": 10, "worker": worker_s}
    for name, service in compose["services"].items():
        assert int(service["stop_grace_period"].removesuffix("s")) >= own_s[name] + 10


def test_compose_sets_only_variables_that_are_settings(compose: dict[str, Any]) -> None:
    """No TITAN_ variable of a service stops its start."""
    known = {s.variable for struct in (BrokerSettings, WorkerSettings) for s in settings_of(struct)}
    for service in compose["services"].values():
        assert set(service.get("environment", {})) <= known
