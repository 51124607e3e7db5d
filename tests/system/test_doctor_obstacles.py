"""`titan doctor` with real servers whose arrangement can lose jobs, or leaves servers idle."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.system import test_servers as servers
from tests.system.conftest import Program
from tests.system.test_servers import Fleet, until

pytestmark = pytest.mark.slow

fleet, cluster = servers.fleet, servers.cluster
Titan = Callable[..., Program]
DURABLE = ("--appendonly", "yes", "--repl-diskless-sync-delay", "0")


def lines_of(titan: Titan, url: str, *words: str) -> dict[str, dict[str, Any]]:
    """The lines of `titan doctor`, by what they are about."""
    program = titan("doctor", "--redis-url", url, "--json", *words)
    code = program.wait()
    lines = msgspec.json.decode(program.output)["lines"]
    assert code == any(line["state"] == "wrong" for line in lines)
    return {line["about"]: line for line in lines}


def primary_with_replica(fleet: Fleet) -> tuple[int, int]:
    """Two servers, the second one a replica of the first one."""
    primary, replica = fleet.start(*DURABLE), fleet.start(*DURABLE)
    fleet.ask(replica, "REPLICAOF", "127.0.0.1", str(primary))
    until(lambda: "state=online" in fleet.ask(primary, "INFO", "replication"))
    return primary, replica


def test_doctor_finds_a_primary_that_does_not_stop_when_it_is_cut_off(titan: Titan, fleet: Fleet) -> None:
    """A primary with replicas needs min-replicas-to-write; a replica is not a store; one server alone has no line."""
    primary, replica = primary_with_replica(fleet)
    url = f"redis://127.0.0.1:{primary}/0"
    found = lines_of(titan, url)["replicas"]
    assert (found["state"], found["found"]) == ("wrong", "1 replica, no min-replicas-to-write")
    assert "min-replicas-to-write 1" in found["advice"]
    fleet.ask(primary, "CONFIG", "SET", "min-replicas-to-write", "1")
    assert lines_of(titan, url)["replicas"]["state"] == "ok"
    found = lines_of(titan, f"redis://127.0.0.1:{replica}/0")["replicas"]
    assert (found["state"], found["found"]) == ("wrong", "this server is a replica")
    fleet.ask(replica, "REPLICAOF", "NO", "ONE")
    assert "replicas" not in lines_of(titan, f"redis://127.0.0.1:{replica}/0")


def sentinels_of(fleet: Fleet, primary: int, number: int) -> list[int]:
    """Sentinels that watch a primary, and know each other."""
    config = f"sentinel monitor main 127.0.0.1 {primary} {number // 2 + 1}\n"
    ports = [fleet.start("--sentinel", config=config) for _ in range(number)]
    for port in ports:
        until(lambda port=port: known(fleet, port, "num-other-sentinels") == number - 1)
    return ports


def known(fleet: Fleet, port: int, name: str) -> int:
    """One number of a sentinel about the primary."""
    return int(fleet.ask(port, "SENTINEL", "MASTER", "main")[name])


def test_doctor_counts_sentinels_and_replicas(titan: Titan, fleet: Fleet) -> None:
    """One sentinel, or one in the address, or no replica: each has advice. Three with a replica are well."""
    alone = fleet.start(*DURABLE)
    [one] = sentinels_of(fleet, alone, 1)
    found = lines_of(titan, f"redis+sentinel://127.0.0.1:{one}/main/0")["sentinels"]
    assert (found["state"], found["found"]) == ("wrong", "1 sentinel, 1 in --redis-url")
    for advice in ("run at least 3", "name all of them", "no replica"):
        assert advice in found["advice"]
    primary, _ = primary_with_replica(fleet)
    ports = sentinels_of(fleet, primary, 3)
    until(lambda: known(fleet, ports[0], "num-slaves") == 1)
    named = ",".join(f"127.0.0.1:{port}" for port in ports)
    found = lines_of(titan, f"redis+sentinel://{named}/main/0")["sentinels"]
    assert (found["state"], found["found"]) == ("ok", "3 sentinels, 3 in --redis-url")
    found = lines_of(titan, f"redis+sentinel://127.0.0.1:{ports[0]}/main/0")["sentinels"]
    assert (found["state"], found["found"]) == ("wrong", "3 sentinels, 1 in --redis-url")
    fleet.ask(ports[0], "SENTINEL", "SET", "main", "down-after-milliseconds", "1499")
    found = lines_of(titan, f"redis+sentinel://{named}/main/0")["sentinels"]
    assert found["state"] == "wrong"
    assert "down-after-milliseconds is 1499" in found["advice"]
    fleet.ask(ports[0], "SENTINEL", "SET", "main", "down-after-milliseconds", "1500")
    assert lines_of(titan, f"redis+sentinel://{named}/main/0")["sentinels"]["state"] == "ok"


@pytest.mark.parametrize(
    ("partitions", "state", "found"), [("1", "wrong", "1 partition on 1 of 3 servers"), ("12", "ok", "3 of 3 servers")]
)
def test_doctor_finds_servers_of_a_cluster_without_a_partition(
    titan: Titan, cluster: list[int], partitions: str, state: str, found: str
) -> None:
    """One partition leaves two of three primaries idle; twelve are on all of them."""
    url = f"redis+cluster://127.0.0.1:{cluster[0]}"
    line = lines_of(titan, url, "--partitions", partitions)["spread"]
    assert line["state"] == state
    assert found in line["found"]
    assert (state == "ok") or "--partitions 12" in line["advice"]


def test_doctor_finds_a_server_of_a_cluster_whose_slots_have_no_partition(
    titan: Titan, fleet: Fleet, cluster: list[int]
) -> None:
    """With enough partitions the advice is to move slots."""
    empty = str(fleet.ask(cluster[2], "CLUSTER", "MYID"))
    away = next(port for port in cluster if fleet.ask(port, "CLUSTER", "MYID") != empty)
    owner = str(fleet.ask(away, "CLUSTER", "MYID"))
    slots = [str(fleet.ask(cluster[0], "CLUSTER", "KEYSLOT", f"titan:{{{number}}}")) for number in range(3)]
    for port in (away, *cluster):
        for slot in slots:
            fleet.ask(port, "CLUSTER", "SETSLOT", slot, "NODE", owner)
        if port == away:  # with the highest epoch its claim is believed, not that of the owner before
            fleet.ask(port, "CLUSTER", "BUMPEPOCH")
    line = lines_of(titan, f"redis+cluster://127.0.0.1:{cluster[0]}", "--partitions", "3")["spread"]
    assert (line["state"], line["found"]) == ("wrong", "3 partitions on 1 of 3 servers")
    assert "reshard" in line["advice"]


def test_doctor_names_the_spread_over_several_servers(titan: Titan, fleet: Fleet) -> None:
    """Several servers always have a partition each: a store with fewer partitions does not start."""
    url = ",".join(f"redis://127.0.0.1:{fleet.start(*DURABLE)}/0" for _ in range(2))
    line = lines_of(titan, url, "--partitions", "4")["spread"]
    assert (line["state"], line["found"]) == ("ok", "4 partitions on 2 of 2 servers")
