"""A cluster whose nodes die, and whose slots move, under load: brokers follow, and nothing runs on half a partition."""

import signal
import time
import urllib.error
from collections.abc import Callable

import pytest

from broker.resp.keys import partition_of, slot
from tests.system.conftest import Program
from tests.system.failovers import Load, kept, metric
from tests.system.test_failover import OUTAGE_S
from tests.system.test_serve import ask
from tests.system.test_servers import (
    GROUPS,
    Fleet,
    Start,
    checked,
    cluster,
    enqueue,
    fleet,
    free_port,
    move_slot,
    until,
)

__all__ = ["cluster", "fleet"]
pytestmark = pytest.mark.slow
PARTITIONS = 4
SLOT = slot("titan:{0}")
OF_SLOT = [group for group in GROUPS if partition_of(group, PARTITIONS) == 0]


def words(port: int) -> tuple[str, ...]:
    return ("--redis-url", f"redis+cluster://127.0.0.1:{port}", "--partitions", str(PARTITIONS))


def owner_of(fleet: Fleet, port: int) -> int:
    """The port of the node that has the slot, as another node says."""
    ranges = fleet.ask(port, "CLUSTER", "SLOTS")
    return next(int(node[1]) for first, last, node, *_ in ranges if first <= SLOT <= last)


def join(fleet: Fleet, ports: list[int], *options: str) -> int:
    """Start one more node, without slots; its port."""
    bus = str(free_port())
    cluster_options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", bus)
    port = fleet.start(*cluster_options, "--cluster-require-full-coverage", "no", *options)
    fleet.ask(ports[0], "CLUSTER", "MEET", "127.0.0.1", str(port), bus)
    for one in (*ports, port):
        until(lambda one=one: f"cluster_known_nodes:{len(ports) + 1}" in fleet.ask(one, "CLUSTER", "INFO"))
    until(lambda: "cluster_state:ok" in fleet.ask(port, "CLUSTER", "INFO"))
    return port


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "frozen"])
def test_calls_continue_when_a_node_dies(
    broker: Start, titan: Callable[..., Program], fleet: Fleet, cluster: list[int], number: int
) -> None:
    """When a primary dies or freezes its replica is found, and calls are answered again within 6 s."""
    owner = owner_of(fleet, cluster[0])
    replica = join(fleet, cluster, "--repl-diskless-sync-delay", "0")
    fleet.ask(replica, "CLUSTER", "REPLICATE", fleet.ask(owner, "CLUSTER", "MYID"))
    until(lambda: "master_link_status:up" in fleet.ask(replica, "INFO", "replication"))
    program, url = broker(*words(owner))
    with Load(url, OF_SLOT, 2).running() as load:
        load.continues()
        until(lambda: fleet.ask(owner, "WAIT", "1", "1000") == 1)
        fleet.ports[owner].send_signal(number)
        other = next(port for port in cluster if port != owner)
        until(lambda: owner_of(fleet, other) == replica)
        moved_at = time.monotonic()
        load.continues()
        until(lambda: load.ids(moved_at + 1))
        fleet.ports[owner].send_signal(signal.SIGCONT)
    print(f"no job was acknowledged for {load.longest_pause_s():.2f} s")
    assert load.longest_pause_s() < OUTAGE_S
    assert metric(url, 'titan_store_failovers_total{server="redis+cluster') >= 1
    program.says(r"the node of titan:\{0\} has moved from 127.0.0.1:\d+ to 127.0.0.1:\d+: named by the nodes")
    assert load.ids(moved_at) - kept(url) == set()
    assert program.stop() == 0


def test_slot_moves_under_load(broker: Start, titan: Callable[..., Program], fleet: Fleet, cluster: list[int]) -> None:
    """A slot that moves to another node, to a new one too, costs no call a 503, and no job."""
    program, url = broker(*words(cluster[0]))
    with Load(url, OF_SLOT, 8).running() as load:
        for _ in range(4):
            load.continues()
            move_slot(fleet, cluster, SLOT)
        new = join(
            fleet, cluster, "--cluster-allow-replica-migration", "no"
        )  # else it becomes a replica without its slot
        pair = [new, owner_of(fleet, new)]
        for _ in range(2):
            load.continues()
            move_slot(fleet, pair, SLOT)
            until(lambda: len({owner_of(fleet, port) for port in (*cluster, new)}) == 1)
        load.continues()
    print(f"{len(load.made)} jobs; the longest pause was {load.longest_pause_s():.2f} s")
    assert load.faults == []
    assert metric(url, "titan_store_failovers_total") >= 4
    assert kept(url) == load.ids()
    checked(titan, *words(cluster[0]))
    assert program.stop() == 0


def test_slot_that_is_half_moved(
    broker: Start, titan: Callable[..., Program], fleet: Fleet, cluster: list[int]
) -> None:
    """While keys are at both nodes no script runs; once all have arrived, ASK is followed, and scripts are loaded."""
    program, url = broker(*words(cluster[0]))
    made = [enqueue(url, group) for group in OF_SLOT]
    owner = owner_of(fleet, cluster[0])
    other = next(port for port in cluster if port != owner)
    fleet.ask(other, "SCRIPT", "FLUSH")
    fleet.ask(other, "CLUSTER", "SETSLOT", str(SLOT), "IMPORTING", fleet.ask(owner, "CLUSTER", "MYID"))
    fleet.ask(owner, "CLUSTER", "SETSLOT", str(SLOT), "MIGRATING", fleet.ask(other, "CLUSTER", "MYID"))
    began = time.monotonic()
    with pytest.raises(urllib.error.HTTPError) as refused:
        enqueue(url, OF_SLOT[0])
    assert "(ASK)" in refused.value.read().decode()
    assert time.monotonic() - began < 3
    assert fleet.ask(other, "CLUSTER", "COUNTKEYSINSLOT", str(SLOT)) == 0
    while names := fleet.ask(owner, "CLUSTER", "GETKEYSINSLOT", str(SLOT), "100"):
        fleet.ask(owner, "MIGRATE", "127.0.0.1", str(other), "", "0", "5000", "KEYS", *names)
    made += [enqueue(url, group) for group in OF_SLOT]
    [job] = ask(f"{url}/v1/jobs?group={OF_SLOT[0]}")["jobs"]
    ask(f"{url}/v1/groups/{OF_SLOT[0]}/jobs/{job['id']}/success", b"{}")
    assert fleet.ask(owner, "CLUSTER", "COUNTKEYSINSLOT", str(SLOT)) == 0
    for port in (other, owner, *cluster):
        fleet.ask(port, "CLUSTER", "SETSLOT", str(SLOT), "NODE", fleet.ask(other, "CLUSTER", "MYID"))
    assert kept(url) == set(made) - {job["id"]}
    checked(titan, *words(cluster[0]))
    assert program.stop() == 0
