"""A store grows as broker/docs/move.md says: from one server to several, to more partitions, and to a cluster."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import Program
from tests.system.test_serve import ask
from tests.system.test_servers import GROUPS, Fleet, Start, checked, cluster, enqueue, fleet, until, work

pytestmark = pytest.mark.slow
__all__ = ["cluster", "fleet"]


def done(titan: Callable[..., Program], *words: str) -> str:
    """What a command prints; it must succeed."""
    program = titan(*words)
    assert program.wait() == 0, program.output
    return program.output


def exported(titan: Callable[..., Program], where: tuple[str, ...]) -> dict[str, Any]:
    """Counts and digest of a store."""
    program = titan("export", *where, "--digest", "--json")
    assert program.wait() == 0, program.output
    return json.loads(program.output[program.output.index("{") :])  # type: ignore[no-any-return]


def used(broker: Start, where: tuple[str, ...]) -> tuple[list[str], str]:
    """Ids of the unfinished jobs of a store that has some in every group, and of the one of them that runs."""
    program, url = broker(*where)
    made = [enqueue(url, group) for group in GROUPS for _ in range(3)]
    finished = [ask(f"{url}/v1/jobs?n=1")["jobs"][0] for _ in range(20)]
    for job in finished:
        ask(f"{url}/v1/groups/{job['group_name']}/jobs/{job['id']}/success", b"{}")
    [held] = ask(f"{url}/v1/jobs?n=1")["jobs"]
    assert program.stop() == 0
    return sorted(set(made) - {job["id"] for job in finished}), held["id"]


def at(*ports: int) -> str:
    return ",".join(f"redis://127.0.0.1:{port}/0" for port in ports)


def test_one_server_becomes_several(broker: Start, titan: Callable[..., Program], fleet: Fleet, tmp_path: Path) -> None:
    """From one server with one partition to two with eight, by a file; the same jobs wait there, each once."""
    old = ("--redis-url", at(fleet.start()))
    unfinished, _ = used(broker, old)
    file = str(tmp_path / "titan.ndjson")
    assert "1 job runs; it is exported as queued" in done(titan, "export", *old, "--output", file)
    new = ("--redis-url", at(fleet.start(), fleet.start()))
    told = done(titan, "import", file, *new, "--partitions", "8", "--verify")
    assert f"{len(GROUPS)} groups and {3 * len(GROUPS)} jobs imported" in told
    assert exported(titan, new)["digest"] == exported(titan, old)["digest"]
    checked(titan, *new)
    program, url = broker(*new)
    assert sorted(work(url)) == unfinished
    assert program.stop() == 0
    checked(titan, *new)


def test_one_server_becomes_a_cluster(
    broker: Start, titan: Callable[..., Program], fleet: Fleet, cluster: list[int]
) -> None:
    """`redis-cli --cluster import` takes a store with its partitions into a cluster; nobody must name their number."""
    redis_cli = shutil.which("redis-cli")
    if redis_cli is None:
        missing = "redis-cli is not here: apt-get install redis-tools"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    port = fleet.start()
    old = ("--redis-url", at(port))
    unfinished, held = used(broker, (*old, "--partitions", "12"))
    before = exported(titan, old)
    argv = [redis_cli, "--cluster", "import", f"127.0.0.1:{cluster[0]}", "--cluster-from", f"127.0.0.1:{port}"]
    moved = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert moved.returncode == 0, moved.stdout + moved.stderr
    assert fleet.ask(port, "DBSIZE") == 0
    new = ("--redis-url", f"redis+cluster://127.0.0.1:{cluster[1]}")
    assert exported(titan, new)["digest"] == before["digest"]
    program, url = broker(*new)
    assert sorted(keys_of_partitions(fleet, cluster)) == list(range(12))
    assert sorted([*work(url), held]) == unfinished  # its lease runs on
    assert program.stop() == 0
    checked(titan, *new)


def keys_of_partitions(fleet: Fleet, ports: list[int]) -> list[int]:
    """Numbers of the partitions that have the number of partitions in their own slot."""
    names = [name for port in ports for name in fleet.ask(port, "KEYS", "titan:{*}:partitions")]
    return [int(name.split("{")[1].split("}")[0]) for name in names]


def test_cluster_becomes_a_larger_one(
    broker: Start, titan: Callable[..., Program], fleet: Fleet, cluster: list[int]
) -> None:
    """Into a cluster with more partitions under another prefix; both prefixes are stores of their own."""
    where = ("--redis-url", f"redis+cluster://127.0.0.1:{cluster[0]}")
    unfinished, _ = used(broker, (*where, "--partitions", "3"))
    done(titan, "export", *where, "--output", "titan.ndjson")
    done(titan, "import", "titan.ndjson", *where, "--key-prefix", "more", "--partitions", "24", "--verify")
    more = (*where, "--key-prefix", "more")
    assert exported(titan, more)["digest"] == exported(titan, where)["digest"]
    program, url = broker(*more)
    assert sorted(work(url)) == unfinished
    assert program.stop() == 0
    checked(titan, *more)


def test_slot_that_moves_in_one_step(
    broker: Start, titan: Callable[..., Program], fleet: Fleet, cluster: list[int]
) -> None:
    """CLUSTER MIGRATESLOTS of Valkey 9 takes a partition to another node while a broker uses it; no job is lost."""
    where = ("--redis-url", f"redis+cluster://127.0.0.1:{cluster[0]}")
    program, url = broker(*where, "--partitions", "3")
    made = [enqueue(url, group) for group in GROUPS]
    slot = str(fleet.ask(cluster[0], "CLUSTER", "KEYSLOT", "titan:{0}"))
    owner = next(port for port in cluster if fleet.ask(port, "CLUSTER", "COUNTKEYSINSLOT", slot))
    other = next(port for port in cluster if port != owner)
    target = str(fleet.ask(other, "CLUSTER", "MYID"))
    fleet.ask(owner, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target)
    until(lambda: fleet.ask(other, "CLUSTER", "COUNTKEYSINSLOT", slot))
    until(lambda: not fleet.ask(owner, "CLUSTER", "COUNTKEYSINSLOT", slot))
    until(lambda: ask(f"{url}/v1/groups?n=100")["groups"])
    until(lambda: ask(f"{url}/readyz"))
    assert sorted(work(url)) == sorted(made)
    assert program.stop() == 0
    checked(titan, *where)
