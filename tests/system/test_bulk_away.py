"""A bulk whose server is away: it waits and tells why, continues when the server is back, or is stopped."""

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from broker.resp.keys import partition_of
from tests.system.conftest import Program
from tests.system.test_one_of_several import Scene, scene
from tests.system.test_serve import ask
from tests.system.test_servers import GROUPS, Fleet, Start, cluster, fleet, until

__all__ = ["cluster", "fleet", "scene"]
pytestmark = pytest.mark.slow
JOBS, RATE = 60, 20
STOPS_S = 10.0
"""A stop is seen with the next note, about a second later; a server that is away takes a call of 2 s to know."""


def begun(url: str, group: str) -> str:
    """The id of a bulk that cancels jobs, after it has cancelled the first ones."""
    ask(f"{url}/v1/groups/{group}/jobs", json.dumps({"jobs": [{"image": "x", "delay": 3600}] * JOBS}).encode())
    body = {"action": "cancel", "status": ["delayed"], "rate": RATE}
    bulk_id = str(ask(f"{url}/v1/groups/{group}/bulk", json.dumps(body).encode())["bulk"]["id"])
    until(lambda: shown(url, bulk_id)["done"] > 0)
    return bulk_id


def shown(url: str, bulk_id: str) -> dict[str, Any]:
    """A bulk."""
    found: dict[str, Any] = ask(f"{url}/v1/bulk/{bulk_id}")["bulk"]
    return found


def is_waiting(url: str, bulk_id: str, port: int) -> bool:
    """Whether the bulk waits, and names the server."""
    found = shown(url, bulk_id)
    return found["state"] == "waiting" and f":{port}" in found["why"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "frozen"])
def test_bulk_is_stopped_while_its_server_is_away(scene: Scene, number: int) -> None:
    """It waits and names the server; stop ends it, and bulks of other servers go on meanwhile."""
    bulk_id = begun(scene.url, scene.away[0])
    scene.signal(number)
    until(lambda: is_waiting(scene.url, bulk_id, scene.port))
    other = begun(scene.url, scene.living[0])
    ask(f"{scene.url}/v1/bulk/{bulk_id}", method="DELETE")
    assert until(lambda: shown(scene.url, bulk_id)["state"] == "stopped") < STOPS_S
    until(lambda: shown(scene.url, other)["state"] == "done")
    assert shown(scene.url, bulk_id)["why"] == "asked"


def test_bulk_continues_when_its_server_is_back(scene: Scene) -> None:
    """Each job is acted on once, and the bulk no longer tells what it waited for."""
    bulk_id = begun(scene.url, scene.away[0])
    scene.signal(signal.SIGSTOP)
    until(lambda: is_waiting(scene.url, bulk_id, scene.port))
    scene.signal(signal.SIGCONT)
    until(lambda: shown(scene.url, bulk_id)["state"] == "done")
    found = shown(scene.url, bulk_id)
    assert (found["matched"], found["done"], found["skipped"], found.get("why")) == (JOBS, JOBS, {}, None)


def test_bulk_while_the_server_of_bulks_is_away(scene: Scene) -> None:
    """The first server has what is kept of bulks: a bulk of another one waits for it too, and then ends."""
    first = next(iter(scene.fleet.ports.values()))
    group = next(name for name in scene.living if partition_of(name, 3) == 2)
    bulk_id = begun(scene.url, group)
    first.send_signal(signal.SIGSTOP)
    until(lambda: "degraded" in ask(f"{scene.url}/readyz"))
    first.send_signal(signal.SIGCONT)
    until(lambda: shown(scene.url, bulk_id)["state"] == "done")
    found = shown(scene.url, bulk_id)
    assert (found["matched"], found["done"], found["skipped"]) == (JOBS, JOBS, {})


def test_bulk_in_a_cluster_without_a_node(
    broker: Start, titan: Callable[..., Program], fleet: Fleet, cluster: list[int]
) -> None:
    """A node of a cluster that is frozen: the bulk of its group waits, is stopped, and a new one does the rest."""
    _, url = broker("--redis-url", f"redis+cluster://127.0.0.1:{cluster[0]}", "--partitions", "3")
    owners = {first: int(node[1]) for first, _, node, *_ in fleet.ask(cluster[0], "CLUSTER", "SLOTS")}
    slots = [int(fleet.ask(cluster[0], "CLUSTER", "KEYSLOT", f"titan:{{{number}}}")) for number in range(3)]
    ports = [owners[max(first for first in owners if first <= slot)] for slot in slots]
    number = next(number for number in range(3) if ports[number] != ports[0])
    group = next(name for name in GROUPS if partition_of(name, 3) == number)
    bulk_id = begun(url, group)
    fleet.ports[ports[number]].send_signal(signal.SIGSTOP)
    until(lambda: shown(url, bulk_id)["state"] == "waiting")
    ask(f"{url}/v1/bulk/{bulk_id}", method="DELETE")
    assert until(lambda: shown(url, bulk_id)["state"] == "stopped") < STOPS_S
    fleet.ports[ports[number]].send_signal(signal.SIGCONT)
    body = json.dumps({"action": "cancel", "status": ["delayed"]}).encode()
    again: list[str] = []
    until(lambda: again.append(ask(f"{url}/v1/groups/{group}/bulk", body)["bulk"]["id"]) or again)
    until(lambda: shown(url, again[0])["state"] == "done")
    assert ask(f"{url}/v1/groups/{group}")["group"]["counts"]["cancelled"] == JOBS
