"""A store of each kind is copied under load with deploy/titan-backup, lost, and restored as backup.md says."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.conftest import server_program
from tests.deploy.conftest import Need
from tests.system import conftest as programs
from tests.system import test_servers as servers
from tests.system.conftest import Program
from tests.system.test_serve import ask
from tests.system.test_servers import GROUPS, Fleet, enqueue, until, work

pytestmark = pytest.mark.slow

folder, titan, broker = programs.folder, programs.titan, programs.broker
fleet, cluster = servers.fleet, servers.cluster
Words = tuple[str, ...]
QUICK = ("--appendonly", "yes", "--repl-diskless-sync-delay", "0")


class Kind:
    """A kind of store: how one is made, and how it is made again from a copy. Both give the options of a broker."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet, self.folder = fleet, folder

    def make(self, copy: Path | None = None) -> Words:
        raise NotImplementedError

    def _part(self, copy: Path | None, number: int = 1) -> Path | None:
        return copy / f"server-{number:02}" if copy else None


class Embedded(Kind):
    def make(self, copy: Path | None = None) -> Words:
        data = self.folder / ("again" if copy else "data")
        subprocess.run(["cp", "-R", str(self._part(copy)), str(data)], check=True) if copy else data.mkdir()
        return ("--data-dir", str(data))


class OneServer(Kind):
    def make(self, copy: Path | None = None) -> Words:
        return ("--redis-url", f"redis://127.0.0.1:{self.fleet.start(*QUICK, files=self._part(copy))}/0")


class SeveralServers(Kind):
    def make(self, copy: Path | None = None) -> Words:
        ports = [self.fleet.start(*QUICK, files=self._part(copy, number)) for number in (1, 2, 3)]
        return ("--redis-url", ",".join(f"redis://127.0.0.1:{port}/0" for port in ports), "--partitions", "8")


class Sentinel(Kind):
    def make(self, copy: Path | None = None) -> Words:
        primary = self.fleet.start(*QUICK, files=self._part(copy))
        config = f"sentinel monitor main 127.0.0.1 {primary} 1\n"
        return ("--redis-url", f"redis+sentinel://127.0.0.1:{self.fleet.start('--sentinel', config=config)}/main/0")


class Cluster(Kind):
    """Three primaries. Nodes started on a copy own the slots that have keys in it; the others are assigned again."""

    def make(self, copy: Path | None = None) -> Words:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", *QUICK)
        ports: list[int] = []
        for number in (1, 2, 3):
            bus = servers.free_port()
            port = self.fleet.start(*options, "--cluster-port", str(bus), files=self._part(copy, number))
            if ports:
                self.fleet.ask(ports[0], "CLUSTER", "MEET", "127.0.0.1", str(port), str(bus))
            ports.append(port)
        for port in ports:
            until(lambda port=port: "cluster_known_nodes:3" in self.fleet.ask(port, "CLUSTER", "INFO"))
        if copy is None:
            for place, port in enumerate(ports):
                first, last = (0, 5461, 10923, 16384)[place : place + 2]
                self.fleet.ask(port, "CLUSTER", "ADDSLOTSRANGE", str(first), str(last - 1))
        else:
            for port in ports:
                until(lambda port=port: self._owners(port) == 3)
            rest = "".join(
                f"CLUSTER ADDSLOTS {slot}\n" for slot in range(16384)
            )  # those that have an owner are refused
            command = ["redis-cli", "-p", str(ports[0])]
            subprocess.run(command, input=rest, check=True, timeout=60, capture_output=True, text=True)
        for port in ports:
            until(lambda port=port: "cluster_state:ok" in self.fleet.ask(port, "CLUSTER", "INFO"))
        return ("--redis-url", f"redis+cluster://127.0.0.1:{ports[0]}", "--partitions", "12")

    def _owners(self, port: int) -> int:
        return sum(len(row.split()) > 8 for row in self.fleet.ask(port, "CLUSTER", "NODES").splitlines())


KINDS = {"embedded": Embedded, "one": OneServer, "several": SeveralServers, "sentinel": Sentinel, "cluster": Cluster}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, fleet: Fleet, folder: Path, need: Need) -> Kind:
    need("redis-cli", "apt-get install redis-tools")
    return KINDS[request.param](fleet, folder)


def back_up(deploy: Path, words: Words, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run titan-backup with the broker's settings in its environment."""
    names = {"--redis-url": "TITAN_REDIS_URL", "--data-dir": "TITAN_DATA_DIR", "--partitions": "TITAN_PARTITIONS"}
    settings = {names[option]: value for option, value in zip(words[::2], words[1::2], strict=True)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(deploy / "titan-backup"), str(folder), *more],
        env=os.environ | settings | {"PATH": path, "STORE_SERVER": server_program("valkey")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def jobs_of(url: str) -> dict[str, str]:
    """The status of each job."""
    jobs = [job for group in GROUPS for job in ask(f"{url}/v1/groups/{group}/jobs?n=1000")["jobs"]]
    return {job["id"]: job["status"] for job in jobs}


def test_restore_drill(
    kind: Kind, deploy: Path, broker: Callable[..., tuple[Program, str]], titan: Callable[..., Program], tmp_path: Path
) -> None:
    """What was acknowledged before the copy is there after the store is lost and restored, and can be worked off."""
    words = kind.make()
    program, url = broker(*words)
    made = {enqueue(url, group) for group in GROUPS for _ in range(3)}
    for job in ask(f"{url}/v1/jobs?n=6")["jobs"]:
        ask(f"{url}/v1/groups/{job['group_name']}/jobs/{job['id']}/success", b"{}")
    running = {job["id"] for job in ask(f"{url}/v1/jobs?n=5")["jobs"]}
    before = jobs_of(url)
    with enqueuing(url):
        done = back_up(deploy, words, tmp_path / "copies")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "0 findings" in done.stderr  # of titan check on the copy
    copy = Path(done.stdout.splitlines()[-1])
    assert program.stop() == 0
    kind.fleet.end()
    restored = kind.make(copy)
    program, url = broker(*restored)
    after = jobs_of(url)
    assert {job_id: after.get(job_id) for job_id in made} == before
    assert {before[job_id] for job_id in running} == {"running"}
    servers.checked(titan, *restored)
    assert {job_id for job_id in made if before[job_id] == "queued"} <= set(work(url))
    assert program.stop() == 0


class enqueuing:  # noqa: N801 - a context manager
    """Enqueues jobs beside the block."""

    def __init__(self, url: str) -> None:
        self._url, self._stop, self._some = url, Event(), Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()
        assert self._some.wait(10)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            enqueue(self._url, "later")
            self._some.set()


def test_back_up_keeps_the_newest_copies(deploy: Path, fleet: Fleet, tmp_path: Path, need: Need) -> None:
    """With KEEP, older copies go; what else is in the folder, a bad copy too, stays."""
    need("redis-cli", "apt-get install redis-tools")
    words, copies = OneServer(fleet, tmp_path).make(), tmp_path / "copies"
    others = [copies / name for name in ("20200101T000000Z.bad", "notes")]
    old = [copies / f"20200101T00000{second}Z" for second in range(4)]
    for path in others + old:
        path.mkdir(parents=True)
    done = back_up(deploy, words, copies, "3")
    assert done.returncode == 0, done.stderr
    new = Path(done.stdout.splitlines()[-1])
    assert sorted(copies.iterdir()) == sorted([*others, *old[2:], new])
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=new, check=True)


def test_back_up_sets_a_copy_aside_that_does_not_agree(deploy: Path, fleet: Fleet, tmp_path: Path, need: Need) -> None:
    """When titan check finds something in the copy, it is named .bad, no older one goes, and the exit code is 1."""
    need("redis-cli", "apt-get install redis-tools")
    words, copies = OneServer(fleet, tmp_path).make(), tmp_path / "copies"
    fleet.ask(next(iter(fleet.ports)), "ZADD", "titan:{0}:group:mail:queued", "1", "0hYjB6dJb7Pq2Xk9")
    old = copies / "20200101T000000Z"
    old.mkdir(parents=True)
    done = back_up(deploy, words, copies, "1")
    assert done.returncode == 1
    assert "titan check does not accept the copy" in done.stderr
    assert re.search(r"mail\s+0hYjB6dJb7Pq2Xk9", done.stdout)
    assert sorted(path.suffix for path in copies.iterdir()) == ["", ".bad"]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis+cluster://127.0.0.1:1"])
def test_back_up_of_a_store_that_is_down_leaves_nothing(deploy: Path, tmp_path: Path, need: Need, url: str) -> None:
    """It says so, ends with 1, and leaves no half copy."""
    need("redis-cli", "apt-get install redis-tools")
    done = back_up(deploy, ("--redis-url", url), tmp_path / "copies")
    assert done.returncode == 1
    assert "titan-backup: " in done.stderr
    assert list((tmp_path / "copies").iterdir()) == []


def test_back_up_says_how_it_is_used(deploy: Path, tmp_path: Path) -> None:
    """--help has an example; nothing, or a KEEP that is no number, is refused."""
    shown = subprocess.run([deploy / "titan-backup", "--help"], capture_output=True, text=True, check=True).stdout
    assert "Example: " in shown
    for words, code in (((), 2), (("copies", "0"), 1), (("copies", "x"), 1)):
        done = subprocess.run(
            [deploy / "titan-backup", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, bool(done.stderr)) == (code, True)
    assert list(tmp_path.iterdir()) == []
