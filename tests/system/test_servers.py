"""A broker on several servers, on a cluster, and on a primary that sentinels watch over."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.conftest import server_program
from tests.system.conftest import Program
from tests.system.test_serve import ask

pytestmark = pytest.mark.slow

Start = Callable[..., tuple[Program, str]]
GROUPS = [f"group-{n}" for n in range(40)]


class Fleet:
    """Valkey servers on ports of 127.0.0.1, ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, *options: str, config: str = "", files: Path | None = None) -> int:
        """Start one in a new folder, which begins with a copy of `files`; its port."""
        port = free_port()
        folder = self.folder / str(port)
        shutil.copytree(files, folder) if files else folder.mkdir()
        (folder / "server.conf").write_text(config)
        arguments = ["server.conf", "--port", str(port), "--bind", "127.0.0.1", *options]
        arguments += [] if "--sentinel" in options else ["--save", "", "--dir", str(folder)]
        argv = [server_program("valkey"), *arguments]
        self.ports[port] = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: self.ask(port, "PING"))
        return port

    def ask(self, port: int, *words: str) -> Any:
        with Redis(port=port, socket_timeout=5, decode_responses=True) as client:
            client.response_callbacks.clear()
            return client.execute_command(*words)

    def end(self) -> None:
        for server in self.ports.values():
            server.kill()
            server.wait()


def free_port() -> int:
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        return int(here.getsockname()[1])


def until(holds: Callable[[], object], limit_s: float = 30) -> float:
    """Wait until it holds; an error of the server counts as no. How long it took, in s."""
    began = time.monotonic()
    while True:
        try:
            if holds():
                return time.monotonic() - began
        except (RedisError, OSError, urllib.error.HTTPError):
            pass
        if time.monotonic() > began + limit_s:
            pytest.fail("it did not come to pass")
        time.sleep(0.02)  # other programs are only seen by asking


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    servers = Fleet(tmp_path)
    yield servers
    servers.end()


def enqueue(url: str, group: str) -> str:
    return str(ask(f"{url}/v1/groups/{group}/jobs", b'{"jobs":[{"image":"x"}]}')["jobs"][0]["id"])


def enqueue_into(job_ids: list[str], url: str, group: str) -> None:
    job_ids.append(enqueue(url, group))


def work(url: str) -> list[str]:
    """Take and finish all jobs; their ids."""
    done = []
    while jobs := ask(f"{url}/v1/jobs?n=7")["jobs"]:
        items = [{k: job[k] for k in ("group_name", "id", "lease")} | {"status": "succeeded"} for job in jobs]
        outcomes = ask(f"{url}/v1/jobs/finish", json.dumps({"jobs": items}).encode())["jobs"]
        assert all(outcome["ok"] for outcome in outcomes)
        done += [job["id"] for job in jobs]
    return done


def use_everything(url: str) -> None:
    """Jobs of many groups go in and out; each group wakes who waits for it; all groups are listed."""
    made = [enqueue(url, group) for group in GROUPS]
    assert sorted(work(url)) == sorted(made)
    for group in GROUPS[:8]:
        job_ids: list[str] = []
        producer = Timer(0.1, enqueue_into, (job_ids, url, group))
        producer.start()
        began = time.monotonic()
        [job] = ask(f"{url}/v1/jobs?wait=20&group={group}")["jobs"]
        producer.join()
        assert [job["id"]] == job_ids
        assert time.monotonic() - began < 1.5  # woken: who looks by itself does so every 2 s
        ask(f"{url}/v1/groups/{group}/jobs/{job['id']}/success", b"{}")
    assert {group["name"] for group in ask(f"{url}/v1/groups?n=100")["groups"]} == set(GROUPS)


def use_dashboard(url: str) -> None:
    """What people do: each group is paused and resumed, a bulk runs over it, and they look at all of it."""
    for group in GROUPS:
        path = f"{url}/v1/groups/{group}"
        enqueue(url, group)
        bulk = ask(f"{path}/bulk", json.dumps({"action": "cancel"}).encode())["bulk"]
        until(lambda bulk=bulk: ask(f"{url}/v1/bulk/{bulk['id']}")["bulk"]["state"] == "done")
        for name in ("why", "stats", "failures"):
            ask(f"{path}/{name}")
    until(lambda: len(ask(f"{url}/v1/audit?n=100")["entries"]) >= len(GROUPS))
    assert ask(f"{url}/v1/stats")["slots"]


def checked(titan: Callable[..., Program], *words: str) -> None:
    """The store agrees with itself."""
    program = titan("check", *words)
    assert program.wait() == 0, program.output
    assert "0 findings" in program.output


@pytest.mark.parametrize("number", [2, 4])
def test_partitions_over_servers(broker: Start, titan: Callable[..., Program], fleet: Fleet, number: int) -> None:
    """Partition i lives on server i mod their number: each server has its part of the jobs, and all is found."""
    ports = [fleet.start() for _ in range(number)]
    words = ("--redis-url", ",".join(f"redis://127.0.0.1:{port}/0" for port in ports), "--partitions", "8")
    program, url = broker(*words)
    use_everything(url)
    for place, port in enumerate(ports):
        tags = {key.split("{")[1].split("}")[0] for key in fleet.ask(port, "KEYS", "titan:{*") if ":group:" in key}
        assert tags == {str(n) for n in range(place, 8, number)}
    checked(titan, *words)
    doctor = titan("doctor", *words)
    doctor.wait()
    for port in ports:
        assert f"version of redis://127.0.0.1:{port}/0" in doctor.output
    use_dashboard(url)
    assert program.stop() == 0
    assert any(key.endswith(":minutes") for port in ports for key in fleet.ask(port, "KEYS", "titan:{*"))
    for more in ((), ("--repair",), ("--group", GROUPS[0]), ("--partition", "1")):
        checked(titan, *words, *more)


def test_servers_in_another_order(broker: Start, titan: Callable[..., Program], fleet: Fleet) -> None:
    """Servers named in another order, one more, or one less, stop the start: jobs would seem lost."""
    one, two, three = (f"redis://127.0.0.1:{fleet.start()}/0" for _ in range(3))
    program, _ = broker("--redis-url", f"{one},{two}", "--partitions", "4")
    assert program.stop() == 0
    for other in (f"{two},{one}", f"{one},{two},{three}", one, f"{three},{one}"):
        refused = titan("broker", "--port", "0", "--redis-url", other, "--partitions", "4")
        assert refused.wait() == 1
        assert "name the same servers in the same order" in refused.output


def test_more_servers_than_partitions(titan: Callable[..., Program]) -> None:
    """A server without a partition would have nothing to do: the start says what is needed."""
    program = titan("broker", "--redis-url", "redis://127.0.0.1:1,redis://127.0.0.1:2", "--partitions", "1")
    assert program.wait() == 1
    assert "2 servers need as many partitions at least: --partitions 2" in program.output


def test_new_store_of_several_servers(broker: Start, fleet: Fleet) -> None:
    """Without --partitions a new store of several servers gets one for each."""
    ports = [fleet.start(), fleet.start()]
    program, _ = broker("--redis-url", ",".join(f"redis://127.0.0.1:{port}/0" for port in ports))
    assert program.stop() == 0
    assert [str(fleet.ask(port, "GET", "titan:partitions")) for port in ports] == ["2", "2"]


def test_one_of_several_servers_is_away(broker: Start, fleet: Fleet) -> None:
    """While one server is away, groups of the others go on; the rest goes on by itself when it is back."""
    ports = [fleet.start("--appendonly", "yes") for _ in range(2)]
    words = ("--redis-url", ",".join(f"redis://127.0.0.1:{port}/0" for port in ports), "--partitions", "2")
    program, url = broker(*words)
    for group in GROUPS:
        enqueue(url, group)
    fleet.ports[ports[1]].kill()
    fleet.ports[ports[1]].wait()
    answers = []
    for group in GROUPS:
        try:
            answers.append(bool(enqueue(url, group)))
        except urllib.error.HTTPError as error:
            answers.append(error.code != 503)
            error.close()
    assert 10 < sum(answers) < 30
    assert program.stop() == 0


@pytest.fixture
def cluster(fleet: Fleet) -> list[int]:
    """Three nodes that share the slots."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    ports = [fleet.start(*options, "--cluster-port", str(free_port())) for _ in range(3)]
    bounds = [0, 5461, 10923, 16384]
    for place, port in enumerate(ports):
        fleet.ask(port, "CLUSTER", "ADDSLOTSRANGE", str(bounds[place]), str(bounds[place + 1] - 1))
        fleet.ask(port, "CONFIG", "SET", "cluster-require-full-coverage", "no")
    for port in ports[1:]:
        bus = next(
            line.split("@")[1].split(" ")[0].split(",")[0]
            for line in fleet.ask(port, "CLUSTER", "NODES").splitlines()
            if "myself" in line
        )
        fleet.ask(ports[0], "CLUSTER", "MEET", "127.0.0.1", str(port), bus)
    for port in ports:
        until(lambda port=port: "cluster_state:ok" in fleet.ask(port, "CLUSTER", "INFO"))
        until(lambda port=port: "cluster_known_nodes:3" in fleet.ask(port, "CLUSTER", "INFO"))
    return ports


def test_cluster(broker: Start, titan: Callable[..., Program], fleet: Fleet, cluster: list[int]) -> None:
    """On a cluster each partition is found at the node of its slot; one that moves is found again by itself."""
    words = ("--redis-url", f"redis+cluster://127.0.0.1:{cluster[1]}", "--partitions", "12")
    program, url = broker(*words)
    use_everything(url)
    assert all(fleet.ask(port, "DBSIZE") > 10 for port in cluster)
    checked(titan, *words)
    move_slot(fleet, cluster, int(fleet.ask(cluster[0], "CLUSTER", "KEYSLOT", "titan:{0}")))
    until(lambda: ask(f"{url}/v1/groups?n=100")["groups"])
    until(lambda: [enqueue(url, group) for group in GROUPS])
    assert len(work(url)) >= len(GROUPS)
    checked(titan, *words)
    use_dashboard(url)
    assert program.stop() == 0
    assert any(key.endswith(":minutes") for port in cluster for key in fleet.ask(port, "KEYS", "titan:{*"))
    for more in ((), ("--repair",), ("--group", GROUPS[0]), ("--partition", "1")):
        checked(titan, *words, *more)


def move_slot(fleet: Fleet, ports: list[int], slot: int) -> None:
    """Take a slot with its keys from its node to another, as `redis-cli --cluster reshard` does."""
    ids = {port: str(fleet.ask(port, "CLUSTER", "MYID")) for port in ports}
    owner = next(port for port in ports if fleet.ask(port, "CLUSTER", "COUNTKEYSINSLOT", str(slot)))
    other = next(port for port in ports if port != owner)
    fleet.ask(other, "CLUSTER", "SETSLOT", str(slot), "IMPORTING", ids[owner])
    fleet.ask(owner, "CLUSTER", "SETSLOT", str(slot), "MIGRATING", ids[other])
    while names := fleet.ask(owner, "CLUSTER", "GETKEYSINSLOT", str(slot), "100"):
        fleet.ask(owner, "MIGRATE", "127.0.0.1", str(other), "", "0", "5000", "KEYS", *names)
    for port in (other, owner, *ports):
        fleet.ask(port, "CLUSTER", "SETSLOT", str(slot), "NODE", ids[other])


def test_failover_by_sentinels(broker: Start, titan: Callable[..., Program], fleet: Fleet) -> None:
    """When the primary is killed, brokers go on with the one that the sentinels choose, by themselves."""
    primary = fleet.start()
    replica = fleet.start("--replicaof", "127.0.0.1", str(primary), "--repl-diskless-sync-delay", "0")
    until(lambda: "master_link_status:up" in fleet.ask(replica, "INFO", "replication"))
    config = (
        f"sentinel monitor main 127.0.0.1 {primary} 2\nsentinel down-after-milliseconds main 500\n"
        "sentinel failover-timeout main 5000\n"
    )
    sentinels = [fleet.start("--sentinel", config=config) for _ in range(3)]
    for port in sentinels:
        until(lambda port=port: "slaves=1,sentinels=3" in fleet.ask(port, "INFO", "sentinel"))
    seeds = ",".join(f"127.0.0.1:{port}" for port in sentinels)
    words = ("--redis-url", f"redis+sentinel://{seeds}/main/0", "--partitions", "2")
    program, url = broker(*words)
    made = [enqueue(url, group) for group in GROUPS]
    until(lambda: fleet.ask(primary, "WAIT", "1", "1000") == 1)
    fleet.ports[primary].kill()
    fleet.ports[sentinels[0]].kill()
    away_s = until(lambda: made.append(enqueue(url, GROUPS[0])) or True, 60)
    print(f"no job was taken for {away_s:.1f} s")
    assert away_s < 30
    assert set(work(url)) >= set(made)
    checked(titan, *words)
    assert program.stop() == 0
