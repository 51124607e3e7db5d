"""What the tests of failovers share: sentinels, a load that remembers each answer, and what a server executed."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

from tests.system.cut_proxy import CutProxy
from tests.system.test_serve import ask
from tests.system.test_servers import Fleet, enqueue, until

INSIDE = "127.0.0.9"
"""The address from which sentinels and replicas connect; brokers connect from 127.0.0.1."""
SERVICE = "main"
SENTINEL_CONF = (
    "sentinel monitor main 127.0.0.1 {port} 2\nsentinel down-after-milliseconds main 1500\n"
    "sentinel failover-timeout main 3000\nsentinel announce-ip 127.0.0.1\n"
)


@contextmanager
def threads_of(run: Callable[[], None], stop: threading.Event, n: int = 1) -> Iterator[None]:
    """Threads that run beside the block, until `stop` is set at its end."""
    threads = [threading.Thread(target=run, daemon=True) for _ in range(n)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)


class Load:
    """Enqueues jobs, in each thread one after the other.

    `made` has the id of each with the time of its answer, `faults` the rest.
    """

    def __init__(self, url: str, groups: list[str], threads: int = 1) -> None:
        self.made: list[tuple[float, str]] = []
        self.faults: list[tuple[float, str]] = []
        self._url = url
        self._groups = groups
        self._threads = threads
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Enqueues inside the block."""
        with threads_of(self._run, self._stop, self._threads):
            yield self

    def ids(self, since: float = 0) -> set[str]:
        """The jobs that were acknowledged at this time or later."""
        return {job_id for at, job_id in list(self.made) if at >= since}

    def continues(self) -> None:
        """Wait until a job that is sent from now on is acknowledged."""
        now = time.monotonic()
        until(lambda: self.ids(now + 0.05))

    def longest_pause_s(self) -> float:
        """The longest time between two acknowledged jobs, in s."""
        times = sorted(at for at, _ in self.made)
        return max(after - before for before, after in pairwise(times))

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(0.005):
            number += 1
            try:
                job_id = enqueue(self._url, self._groups[number % len(self._groups)])
            except urllib.error.HTTPError as fault:
                self.faults.append((time.monotonic(), fault.read().decode()))
            else:
                self.made.append((time.monotonic(), job_id))


class Calls:
    """Looks all the time how many scripts a server has run. `last_at` is when the number last grew."""

    def __init__(self, fleet: Fleet, port: int) -> None:
        self.last_at = 0.0
        self._fleet = fleet
        self._port = port
        self._stop = threading.Event()

    @contextmanager
    def counted(self) -> Iterator["Calls"]:
        """Looks inside the block."""
        with threads_of(self._run, self._stop):
            yield self

    def _run(self) -> None:
        before = ""
        while not self._stop.wait(0.02):
            found = [
                line for line in self._fleet.ask(self._port, "INFO", "commandstats").splitlines() if "evalsha" in line
            ]
            if found and found[0] != before:
                before, self.last_at = found[0], time.monotonic()


class Watched:
    """A primary and replicas with three sentinels. Sentinels and replicas reach the primary through `proxy`."""

    def __init__(self, fleet: Fleet, proxy: CutProxy, primary: int, replicas: int, *options: str) -> None:
        self.fleet, self.proxy, self.primary = fleet, proxy, primary
        inside = ("--bind-source-addr", INSIDE, "--protected-mode", "no")  # Redis 7.0 trusts 127.0.0.1 only
        of_replica = ("--replicaof", "127.0.0.1", str(proxy.port), "--repl-diskless-sync-delay", "0", *inside, *options)
        self.replicas = [fleet.start(*of_replica) for _ in range(replicas)]
        for port in self.replicas:
            until(lambda port=port: "master_link_status:up" in fleet.ask(port, "INFO", "replication"))
        config = SENTINEL_CONF.format(port=proxy.port)
        self.sentinels = [fleet.start("--sentinel", *inside, config=config) for _ in range(3)]
        for port in self.sentinels:
            until(lambda port=port: f"slaves={replicas},sentinels=3" in fleet.ask(port, "INFO", "sentinel"))

    def url(self, *sentinels: int) -> tuple[str, ...]:
        """The words with which a broker uses it, through these sentinels or all."""
        seeds = ",".join(f"127.0.0.1:{port}" for port in sentinels or self.sentinels)
        return ("--redis-url", f"redis+sentinel://{seeds}/{SERVICE}/0", "--partitions", "2")

    def named(self, sentinel: int) -> int:
        """The port of the primary that a sentinel names."""
        return int(self.fleet.ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def until_switched(self, sentinels: list[int] | None = None) -> float:
        """Wait until one of the sentinels names a replica; the time."""
        asked = sentinels or self.sentinels
        until(lambda: any(self.named(port) in self.replicas for port in asked), 60)
        return time.monotonic()


def metric(url: str, name: str) -> float:
    """The sum of the samples of a metric."""
    lines = [line for line in text(f"{url}/metrics").splitlines() if line.startswith(name)]
    assert lines, name
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def text(url: str) -> str:
    """A page as text."""
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


def kept(url: str) -> set[str]:
    """The jobs that the store has, over all groups of the load; they are taken."""
    ids: set[str] = set()
    while jobs := ask(f"{url}/v1/jobs?n=100")["jobs"]:
        ids |= {job["id"] for job in jobs}
    return ids
