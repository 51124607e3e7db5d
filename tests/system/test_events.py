"""Events over real programs that are killed, moved and stopped: who listens misses nothing, or is told where."""

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker.resp.keys import partition_of
from broker.store.event_feed import DIED
from tests.conftest import server_program
from tests.system.chaos.node import KEPT, Node
from tests.system.conftest import Program
from tests.system.failovers import metric, threads_of
from tests.system.test_cluster_failover import SLOT, join, owner_of, words
from tests.system.test_processes import children
from tests.system.test_serve import ask
from tests.system.test_servers import GROUPS, Fleet, cluster, fleet, free_port, move_slot, until

__all__ = ["cluster", "fleet"]
pytestmark = pytest.mark.slow
Start = Callable[..., tuple[Program, str]]
PAUSE_S = 0.05
"""Between two jobs of a load, so that an event names each of its jobs, unless a broker stood still for a second."""


class Load:
    """Enqueues one job after the other, at one of the brokers. By id: when each was sent (`made`) and `answered`."""

    def __init__(self, urls: list[str], groups: list[str]) -> None:
        self.made: dict[str, float] = {}
        self.answered: dict[str, float] = {}
        self._urls, self._groups = urls, groups
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Enqueues inside the block."""
        with threads_of(self._run, self._stop):
            yield self

    def since(self, at: float) -> set[str]:
        """The jobs that were sent then or later, and are acknowledged."""
        return {job_id for job_id, sent_at in list(self.made.items()) if sent_at >= at}

    def grows(self, n: int = 10) -> None:
        """Wait until so many more jobs are acknowledged."""
        now = time.monotonic()
        until(lambda: len(self.since(now)) >= n)

    def _run(self) -> None:
        for number in itertools.count():
            if self._stop.wait(PAUSE_S):
                return
            url = self._urls[number % len(self._urls)]
            group = self._groups[number // len(self._urls) % len(self._groups)]
            sent_at = time.monotonic()
            try:
                answer = ask(f"{url}/v1/groups/{group}/jobs", b'{"jobs":[{"image":"x"}]}')
            except (OSError, ValueError):  # its broker or its store is away
                continue
            self.answered[answer["jobs"][0]["id"]] = time.monotonic()
            self.made[answer["jobs"][0]["id"]] = sent_at


class Watch:
    """`titan events -f`: what it has told."""

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def told(self) -> list[dict]:
        """All events so far."""
        whole = self._program.output.rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    @property
    def ids(self) -> list[str]:
        """The jobs of all events, one after the other."""
        return [job_id for event in self.told for job_id in event["ids"]]

    @property
    def gaps(self) -> list[str]:
        """The reasons of the gaps."""
        return [event["reason"] for event in self.told if event["kind"] == "gap"]

    def lost(self, load: Load, at: float) -> set[str]:
        """The jobs of the load since then of which it has not told. An event names 20, and counts the others."""
        unnamed = sum(event["n"] - len(event["ids"]) for event in self.told if event["kind"] == "enqueued")
        lost = load.since(at) - set(self.ids)
        return lost if len(lost) > unnamed else set()

    def has_all_since(self, load: Load, at: float) -> None:
        """Wait until it has told of all jobs of the load since then."""
        until(lambda: not self.lost(load, at))


@pytest.fixture
def watch(titan: Callable[..., Program]) -> Callable[..., Watch]:
    """Starts `titan events -f` for brokers of which one answers; it listens when this returns."""

    def start(*urls: str) -> Watch:
        addresses = [word for url in urls for word in ("--broker-url", url)]
        watch = Watch(titan("events", "-f", "--json", "--kind", "enqueued", *addresses))
        until(lambda: sum(metric(url, "titan_event_listeners") for url in urls) == 1)
        return watch

    return start


def test_several_processes_that_are_killed(broker: Start, watch: Callable[..., Watch]) -> None:
    """Events of all processes come; one that is killed costs its last tenth of a second, and that is a gap."""
    program, url = broker("--processes", "3")
    watching = watch(url)
    with Load([url], ["g"]).running() as load:
        load.grows(60)  # each process has looked, and a gap says what one did before
        at = time.monotonic()
        load.grows(20)
        watching.has_all_since(load, at)
        for victim in children(program):
            before = len(watching.gaps)
            killed_at = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            program.says(rf"\(process {victim}\) ended with SIGKILL")
            until(lambda before=before: len(watching.gaps) > before)
            assert watching.gaps[-1] == DIED
            back_at = time.monotonic()
            load.grows(20)
            watching.has_all_since(load, back_at)
            lost = watching.lost(load, at)
            assert all(load.made[job_id] < killed_at + 0.1 for job_id in lost), lost
            assert all(killed_at - 1 < load.answered[job_id] for job_id in lost), lost
            at = back_at
    assert len(watching.ids) == len(set(watching.ids))
    assert program.stop() == 0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A store with an append-only file."""
    node = Node(tmp_path / "store", server_program("valkey"), free_port(), KEPT)
    node.start()
    until(lambda: node.ask("PING"))
    yield node
    node.end()


def of(node: Node) -> tuple[str, str]:
    return "--redis-url", f"redis://127.0.0.1:{node.port}/0"


def test_a_broker_that_is_killed_or_stopped(broker: Start, watch: Callable[..., Watch], node: Node) -> None:
    """Its clients go on at another broker where they were. Only a kill is a gap, and a job is told of once."""
    brokers = [broker(*of(node)) for _ in range(3)]
    urls = [url for _, url in brokers]
    watching = watch(*urls)
    with Load(urls, ["g"]).running() as load:
        load.grows(60)
        at, gaps = time.monotonic(), len(watching.gaps)
        load.grows(20)
        assert brokers[0][0].stop() == 0
        load.grows(20)
        until(lambda: metric(urls[1], "titan_event_listeners") == 1)
        watching.has_all_since(load, at)
        assert len(watching.gaps) == gaps
        killed_at = time.monotonic()
        brokers[1][0].stop(signal.SIGKILL)
        until(lambda: metric(urls[2], "titan_event_listeners") == 1)
        until(lambda: watching.gaps[gaps:] == [DIED])
        load.grows(20)
    watching.has_all_since(load, killed_at + 0.1)
    lost = watching.lost(load, at)
    assert all(killed_at - 1 < load.answered[job_id] for job_id in lost), lost
    assert len(watching.ids) == len(set(watching.ids))
    assert brokers[2][0].stop() == 0


@pytest.mark.parametrize("is_long", [False, True], ids=["shortly", "long"])
def test_a_store_that_is_killed(broker: Start, watch: Callable[..., Watch], node: Node, *, is_long: bool) -> None:
    """While it is away there is a problem; then events come again, and a gap says where some are missing."""
    brokers = [broker(*of(node)) for _ in range(2)]
    urls = [url for _, url in brokers]
    watching = watch(*urls)
    with Load(urls, ["g"]).running() as load:
        load.grows(60)
        at, gaps = time.monotonic(), len(watching.gaps)
        load.grows(20)
        watching.has_all_since(load, at)
        node.end()
        until(lambda: watching.told[-1]["kind"] == "problem")
        if is_long:
            ended_at = time.monotonic()
            until(lambda: time.monotonic() > ended_at + 6)  # the reports of brokers that listen are over
        node.start()
        load.grows(20)
        if is_long:
            until(lambda: len(watching.gaps) > gaps)
        back_at = time.monotonic()
        until(lambda: load.since(back_at + 1.5))
    watching.has_all_since(load, back_at + 1.5)
    assert not [gap for gap in watching.gaps[gaps:] if gap.startswith("Nobody listened")]
    until(lambda: not watching.lost(load, at) or len(watching.gaps) > gaps)
    assert len(watching.ids) == len(set(watching.ids))
    for program, _ in brokers:
        assert program.stop() == 0


def test_one_of_several_stores_is_killed(broker: Start, watch: Callable[..., Watch], tmp_path: Path) -> None:
    """While the server with the stream is away the others go on; what happened there is told of later."""
    nodes = [Node(tmp_path / f"store-{n}", server_program("valkey"), free_port(), KEPT) for n in range(2)]
    for node in nodes:
        node.start()
    try:
        for node in nodes:
            until(lambda node=node: node.ask("PING"))
        addresses = ",".join(of(node)[1] for node in nodes)
        program, url = broker("--redis-url", addresses, "--partitions", "2")
        watching = watch(url)
        away, here = (next(g for g in GROUPS if partition_of(g, 2) == n) for n in range(2))
        with Load([url], [away, here]).running() as load:
            load.grows(20)
            at = time.monotonic()
            nodes[0].end()
            until(lambda: watching.told[-1]["kind"] == "problem")
            load.grows(20)
            nodes[0].start()
            load.grows(20)
            until(lambda: not watching.lost(load, at) or watching.gaps)
            back_at = time.monotonic()
            load.grows(20)
        watching.has_all_since(load, back_at)
        assert len(watching.ids) == len(set(watching.ids))
        assert program.stop() == 0
    finally:
        for node in nodes:
            node.end()


def test_a_cluster_whose_slot_moves(
    broker: Start, watch: Callable[..., Watch], fleet: Fleet, cluster: list[int]
) -> None:
    """The slot of the stream moves from node to node, and a client learns of every job, without a gap."""
    brokers = [broker(*words(cluster[0])) for _ in range(2)]
    urls = [url for _, url in brokers]
    watching = watch(*urls)
    with Load(urls, GROUPS).running() as load:
        load.grows(60)
        at, gaps = time.monotonic(), len(watching.gaps)
        for _ in range(3):
            load.grows()
            move_slot(fleet, cluster, SLOT)
        load.grows()
    watching.has_all_since(load, at)
    assert len(watching.gaps) == gaps
    assert len(watching.ids) == len(set(watching.ids))
    for program, _ in brokers:
        assert program.stop() == 0


def test_a_cluster_whose_node_dies(
    broker: Start, watch: Callable[..., Watch], fleet: Fleet, cluster: list[int]
) -> None:
    """When a replica takes the place of the node with the stream, events go on; what is missing is a gap."""
    owner = owner_of(fleet, cluster[0])
    replica = join(fleet, cluster, "--repl-diskless-sync-delay", "0")
    fleet.ask(replica, "CLUSTER", "REPLICATE", fleet.ask(owner, "CLUSTER", "MYID"))
    until(lambda: "master_link_status:up" in fleet.ask(replica, "INFO", "replication"))
    brokers = [broker(*words(owner)) for _ in range(2)]
    urls = [url for _, url in brokers]
    watching = watch(*urls)
    with Load(urls, GROUPS).running() as load:
        load.grows(60)
        at, gaps = time.monotonic(), len(watching.gaps)
        fleet.ports[owner].kill()
        other = next(port for port in cluster if port != owner)
        until(lambda: owner_of(fleet, other) == replica)
        load.grows(40)
        until(lambda: not watching.lost(load, at) or len(watching.gaps) > gaps)
        back_at = time.monotonic()
        load.grows(20)
    watching.has_all_since(load, back_at + 1.5)
    for program, _ in brokers:
        assert program.stop() == 0


def test_a_broker_that_comes_later(titan: Callable[..., Program], broker: Start) -> None:
    """`titan events -f` waits for a broker, says so, and tells what happens once it is there."""
    port = free_port()
    program = titan("events", "-f", "--kind", "enqueued", "--broker-url", f"http://127.0.0.1:{port}")
    program.says("trying again until it works")
    _, url = broker("--port", str(port))
    until(lambda: metric(url, "titan_event_listeners") == 1)
    made = ask(f"{url}/v1/groups/g/jobs", b'{"jobs":[{"image":"x"}]}')["jobs"][0]["id"]
    program.says(rf"enqueued g 1 {made}")
    assert program.stop(signal.SIGINT) == 130
