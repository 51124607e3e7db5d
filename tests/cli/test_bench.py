"""`titan bench`, against a broker with a store of its own."""

import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from broker.bench.bench_group import BenchGroup
from broker.bench.http_client import BenchAddress, BenchFailed
from broker.bench.script_profile import SCRIPT_RUNS
from broker.bench.workloads import WORKS, steps
from tests.bench.server import Server, server
from tests.cli.live import Titan
from worker.client import Client

pytestmark = pytest.mark.slow

SMALL = ("--seconds", "0.1", "--jobs", "1000", "--backlog", "1000", "--polls", "3")


@pytest.fixture(scope="module")
def started() -> Iterator[Server]:
    """A broker in a process of its own, with a reaper and an embedded store."""
    with server() as started:
        yield started


@pytest.fixture
def titan(started: Server) -> Titan:
    """`titan`, with the address of that broker."""
    return Titan(started.url)


def groups(started: Server) -> dict[str, dict[str, int]]:
    """The numbers of jobs of each group that a measurement had."""
    found = Titan(started.url)("group", "list", "--json").json["groups"]
    return {group["name"]: group["counts"] for group in found if re.fullmatch("bench-[0-9a-f]{12}", group["name"])}


@pytest.fixture(autouse=True)
def _nothing_is_left(started: Server) -> Iterator[None]:
    """After each test no group that a measurement had has a job."""
    yield
    assert not any(count for counts in groups(started).values() for count in counts.values())


def test_bench_all(titan: Titan, started: Server) -> None:
    """With the store and the broker's process known, every step and every script has its figures."""
    seen = ("--redis-url", started.redis_url, "--front-pid", str(started.pid), "--profile", "--json")
    ran = titan("bench", *SMALL, *seen)
    assert (ran.code, ran.err) == (0, "")
    rows: list[dict[str, Any]] = ran.json["results"]
    assert [(row["work"], row["what"]) for row in rows] == [(step.work, step.what) for step in steps(1000)]
    for row in rows:
        figures = {"W4": ("p50_ms", "p99_ms"), "W5": ("bytes_per_job",)}.get(
            row["work"], ("jobs_per_s", "front_us", "store_us", "client_us")
        )
        assert all(row[figure] > 0 for figure in figures), row
        assert row["jobs"] > 0
    assert [profile["verb"] for profile in ran.json["profiles"]] == [script_run.verb for script_run in SCRIPT_RUNS]
    assert all(profile["us_per_job"] > 0 and profile["commands"] for profile in ran.json["profiles"])
    assert "append-only file" in ran.json["store"]


def test_bench_table(titan: Titan) -> None:
    """A row for each step, and columns with units; stderr names steps that are skipped without a store."""
    ran = titan("bench", *SMALL, "--rounds", "2")
    assert ran.code == 0
    assert ran.err == "W5 is left out: it needs --redis-url.\n"
    _, table = ran.out.split("\n\n")
    head, *rows = table.splitlines()
    assert re.split(" {2,}", head) == [
        "work", "what", "jobs/s", "lowest-highest", "p50 ms", "p99 ms", "client µs/job", "refused",
    ]  # fmt: skip
    assert [row.split()[0] for row in rows] == [step.work for step in steps(1000) if not step.needs_store]


@pytest.mark.parametrize("work", [work for work in WORKS if work != "W5"])
def test_bench_only(titan: Titan, work: str) -> None:
    """--only measures that workload and no other; --markdown prints a table for a page."""
    ran = titan("bench", *SMALL, "--only", work, "--markdown")
    assert ran.code == 0
    _, head, line, *rows = [row for row in ran.out.splitlines() if row]
    assert head.startswith("| work | what |")
    assert set(line) <= set("| -")
    assert {row.split("|")[1].strip() for row in rows} == {work}


def test_bench_progress(titan: Titan) -> None:
    """On a terminal it shows how far it is."""
    assert "Measuring" in titan.on_terminal("bench", *SMALL, "--only", "W2")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--only", "W5"], "W5 needs --redis-url"),
        (["--profile"], "--profile needs --redis-url"),
        (["--json", "--markdown"], "do not go together"),
        (["--broker-url", "redis://a"], "--broker-url"),
        (["--only", "W7"], "--only"),
        (["--jobs", "1"], "--jobs"),
    ],
)
def test_bench_wrong_options(titan: Titan, words: list[str], error: str) -> None:
    """What cannot be done is wrong usage, before anything is sent."""
    ran = titan("bench", *words)
    assert (ran.code, ran.out) == (2, "")
    assert error in ran.err


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["--broker-url", "http://127.0.0.1:1"], 3, "No connection to 127.0.0.1:1"),
        (["--front-pid", "4194305"], 1, "--front-pid"),
        (["--redis-url", "unix:///nowhere.sock"], 1, "--redis-url"),
        (["--redis-url", "ftp://a"], 1, "is not the address of a store"),
    ],
)
def test_bench_what_is_not_there(titan: Titan, words: list[str], code: int, error: str) -> None:
    """A missing broker, store or process ends the command with one line that names it."""
    ran = titan("bench", *SMALL, "--only", "W1", *words)
    assert (ran.code, ran.out) == (code, "")
    assert error in ran.err


def test_bench_interrupted(titan: Titan, started: Server) -> None:
    """Ctrl-C ends it, and what it had enqueued is deleted all the same."""
    before = groups(started).keys()
    with titan.process("bench", "--only", "W1", "--seconds", "60", "--jobs", "1000000") as process:
        deadline = time.monotonic() + 30
        while not any(counts["queued"] for name, counts in groups(started).items() if name not in before):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert out == b""


async def test_bench_with_a_foreign_worker(started: Server) -> None:
    """Jobs that somebody else took are noticed: such figures would be wrong."""
    group = BenchGroup(BenchAddress.read(started.url))
    await group.open()
    await group.fill(3)
    await group.check(3)
    async with Client(started.url) as client:
        [job] = await client.next()
        with pytest.raises(BenchFailed, match="took 1 of the jobs"):
            await group.check(3)
        await client.succeed(group.name, job.id)
    await group.empty()
