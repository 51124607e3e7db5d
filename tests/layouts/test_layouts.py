"""A store of each layout that a commit on main had: what today's version does with it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis import Redis

from broker.core.errors import StoreUnavailable
from broker.core.settings import BrokerSettings
from broker.diagnostics.consistency import check
from broker.diagnostics.doctor import look
from broker.models.jobs import NewJob
from broker.resp import marks
from broker.resp.marks import LayoutDiffers, PartitionsDiffer
from broker.store import migrations
from broker.store.connect import connected, opened
from broker.store.job_store import JobStore
from broker.store.migrations import MigrationRefused, migrate
from tests.conftest import server_program, start_server
from tests.layouts.scene import fill, load, values
from tests.system.conftest import Program

FOLDER = Path(__file__).parent
PRESENT = marks.WRITES[-1]
OLDER = tuple(sorted(path.stem for path in FOLDER.glob("*.ndjson") if path.stem != str(PRESENT)))
"""The dumps of older layouts: the number, and a word where commits without a number had several."""
REFUSED = tuple(name for name in OLDER if int(name.split("-", maxsplit=1)[0]) not in marks.WRITES)
"""Those in which this version keeps no store."""


class Dump(NamedTuple):
    """A dump: when it was made, the status of each job by group and id, and the keys."""

    made_at_ms: int
    jobs: dict[str, dict[str, str]]
    rows: list[dict[str, Any]]


def dump_of(name: str) -> Dump:
    """The dump of this name, which begins with the number of its layout."""
    first, *rows = map(json.loads, (FOLDER / f"{name}.ndjson").read_text("utf-8").splitlines())
    return Dump(first["made_at_ms"], first["jobs"], rows)


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, backend: str) -> Iterator[tuple[str, Redis]]:
    """A server of its own: its address, and a client."""
    url, process = start_server(server_program(backend), tmp_path_factory.mktemp("layout"))
    with Redis.from_url(url) as redis:
        yield url, redis
    process.terminate()
    process.wait()


@pytest.fixture
def url(server: tuple[str, Redis]) -> str:
    """Its address."""
    return server[0]


@pytest.fixture
def redis(server: tuple[str, Redis]) -> Redis:
    """A client of it."""
    return server[1]


@pytest.fixture
async def store(url: str) -> AsyncIterator[JobStore]:
    """The store on the server, not asked anything yet."""
    async with connected(BrokerSettings(redis_url=url)) as found:
        yield found.store


pytestmark = [pytest.mark.slow, pytest.mark.parametrize("backend", ["redis", "valkey"])]


def content(redis: Redis) -> dict[bytes, bytes]:
    """Every key with all that it has, but for its time to live."""
    return {key: redis.dump(key) for key in redis.scan_iter(count=1000)}


async def statuses(store: JobStore, dump: Dump) -> dict[str, dict[str, str]]:
    """What the store says of every job of the dump."""
    found: dict[str, dict[str, str]] = {}
    for group, jobs in dump.jobs.items():
        for job_id in jobs:
            found.setdefault(group, {})[job_id] = (await store.jobs.show(group, job_id)).status
    return found


async def assert_lives_on(store: JobStore, dump: Dump) -> None:
    """Every job exists in its status, everything agrees, and the queues give what they have in order."""
    store.clock.now = str(dump.made_at_ms + 1000)
    assert await statuses(store, dump) == dump.jobs
    assert await check(store) == []
    queued = [job_id for job_id, status in dump.jobs["plain"].items() if status == "queued"]
    taken = await store.dispatcher.next(100, ["plain"])
    assert sorted(job.id.decode() for job in taken) == sorted(queued)
    await store.enqueuer.enqueue("plain", [NewJob(image="new")])
    store.clock.now = str(dump.made_at_ms + 10**9)
    while (await store.maintenance.reap(100)).wait_ms == 0:
        pass
    assert await check(store) == []
    assert {"delayed", "running"}.isdisjoint(
        status for jobs in (await statuses(store, dump)).values() for status in jobs.values()
    )


@pytest.mark.parametrize("older", REFUSED)
async def test_start_on_an_older_layout_touches_nothing(url: str, redis: Redis, store: JobStore, older: str) -> None:
    """Jobs of an older layout are refused with what to run, and every key stays as it was."""
    load(redis, dump_of(older).rows)
    before = content(redis)
    with pytest.raises(LayoutDiffers, match="titan migrate"):
        await store.open()
    with pytest.raises(LayoutDiffers, match="titan migrate"):
        await store.verify()
    assert [line.state for line in [line async for line in look(store)] if line.about == "layout"] == ["wrong"]
    with pytest.raises(StoreUnavailable, match="titan migrate"):
        await store.maintenance.reap(1)
    assert content(redis) == before


@pytest.mark.parametrize("older", OLDER)
async def test_migrate_keeps_every_job(redis: Redis, store: JobStore, older: str) -> None:
    """After a migration all jobs live on; a second one changes nothing."""
    dump = dump_of(older)
    load(redis, dump.rows)
    assert [one.before for one in await migrate(store)] == list(range(int(older.split("-", maxsplit=1)[0]), PRESENT))
    before = content(redis)
    assert await migrate(store) == []
    assert content(redis) == before
    await store.open()
    await assert_lives_on(store, dump)


async def test_start_on_the_layout_before(redis: Redis, store: JobStore) -> None:
    """A store of the layout before is used as it stands, without what is new; then its number alone rises."""
    before = PRESENT - 1
    dump = dump_of(str(before))
    load(redis, dump.rows)
    await store.open()
    assert redis.get("titan:format") == str(before).encode()
    with pytest.raises(StoreUnavailable, match="an older version"):
        await store.require_layout(marks.POLICIES, "Retry policies")
    assert await store.raise_layout(before, PRESENT)
    await store.require_layout(marks.POLICIES, "Retry policies")
    await assert_lives_on(store, dump)


async def test_migrate_beside_brokers_of_layout_1(redis: Redis, store: JobStore) -> None:
    """Brokers that do not know layout 2 must be stopped first; one that is silent has stopped."""
    load(redis, dump_of("1").rows)
    seconds, _ = redis.time()
    said = {"name": "old", "version": "1", "address": "", "since": "", "reads": [1], "writes": [1]}
    redis.hset("titan:{0}:brokers", "old", f"{seconds * 1000} {json.dumps(said)}")
    with pytest.raises(MigrationRefused, match="old is a broker of an older version"):
        await migrate(store)
    assert redis.get("titan:format") == b"1"
    redis.hset("titan:{0}:brokers", "old", f"{(seconds - 60) * 1000} {json.dumps(said)}")
    assert [one.after for one in await migrate(store)] == [2]


async def test_migrate_after_an_interruption(redis: Redis, store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that died between two steps is finished by the next one; until then no broker starts."""
    dump = dump_of("0")
    load(redis, dump.rows)
    executions = redis.hgetall("titan:{0}:runs")
    field = next(iter(executions))
    redis.hset("titan:{0}:executions", field, executions[field])  # so that it must move the rest piece by piece
    monkeypatch.setattr(migrations, "STEP", 1)
    steps = 0

    def die_at_the_second(_: int) -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await migrate(store, die_at_the_second)
    with pytest.raises(LayoutDiffers):
        await store.open()
    assert [one.after for one in await migrate(store)] == list(range(1, PRESENT + 1))
    assert redis.hgetall("titan:{0}:executions") == executions
    await store.open()
    await assert_lives_on(store, dump)


async def test_migrate_beside_older_brokers(redis: Redis, store: JobStore) -> None:
    """While a broker of the older build listens nothing is changed, and the message says to stop it."""
    load(redis, dump_of("0").rows)
    with redis.pubsub() as listener:
        listener.subscribe("titan:{0}:wake")
        assert listener.get_message(timeout=5)
        before = content(redis)
        with pytest.raises(MigrationRefused, match="stop them first"):
            await migrate(store)
        assert content(redis) == before


async def test_migrate_with_other_partitions(url: str, redis: Redis) -> None:
    """The number of partitions must be the store's: keys of the others would be left behind."""
    load(redis, dump_of("0").rows)
    async with connected(BrokerSettings(redis_url=url, partitions=2)) as found:
        with pytest.raises(PartitionsDiffer, match="--partitions 1"):
            await migrate(found.store)


async def test_the_present_layout_lives_on(redis: Redis, store: JobStore) -> None:
    """A store of the present layout that an earlier commit wrote is used as it stands."""
    dump = dump_of(str(PRESENT))
    load(redis, dump.rows)
    await store.open()
    await assert_lives_on(store, dump)


def shape_of(rows: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    """The kinds of keys, with the fields of their hashes and the number of words in records and executions."""
    found: set[tuple[str, ...]] = set()
    for row in rows:
        if row["type"] == "stream" or re.search(r":(minutes|halves|times|counted|total:.*|flushed:.*)$", row["key"]):
            continue  # the audit, and statistics, which a broker that runs for 10 s writes: older builds ignore them
        kind = re.sub(r":(job|answer|worker):.*|:group:[a-z]+", lambda match: match[0].split(":")[1], row["key"])
        if kind.endswith(":brokers"):  # written once a broker has announced itself
            continue
        found.add((kind, row["type"]))
        if kind.endswith((":jobs", ":executions")) and row["type"] == "hash":
            found |= {(kind, "words", str(len(text.split(" ")))) for text in row["value"].values()}
        elif row["type"] == "hash":
            found |= {(kind, "field", field) for field in row["value"]}
    return found


async def test_the_present_layout_is_what_brokers_write(url: str, redis: Redis, tmp_path: Path) -> None:
    """A change of keys or fields without a new number is found: the dump then no longer has what a broker writes."""
    program = Program("broker", "--port", "0", "--no-reaper", "--redis-url", url, folder=tmp_path)
    try:
        fill(program.says(r"serves on (http://\S+);")[1])
        assert shape_of(values(redis)) == shape_of(dump_of(str(PRESENT)).rows)
    finally:
        program.end()


@pytest.mark.parametrize(("number", "advice"), [("99", "Start Titan 9.9 or newer"), ("text", "titan migrate")])
async def test_an_unknown_number_touches_nothing(redis: Redis, store: JobStore, number: str, advice: str) -> None:
    """A number that this version does not know is refused, with the version that can, and nothing is touched."""
    load(redis, dump_of(str(PRESENT)).rows)
    redis.mset({"titan:format": number, "titan:version": "9.9"})
    before = content(redis)
    with pytest.raises(LayoutDiffers, match=advice):
        await store.open()
    with pytest.raises(StoreUnavailable, match=advice):
        await store.maintenance.reap(1)
    assert content(redis) == before


async def test_data_without_any_mark_touches_nothing(redis: Redis, store: JobStore) -> None:
    """Jobs without numbers of layout and partitions, as a half restored store has them, are refused."""
    load(redis, dump_of(str(PRESENT)).rows)
    redis.delete("titan:format", "titan:partitions", "titan:version")
    with pytest.raises(LayoutDiffers, match="without a number"):
        await store.open()


async def test_open_sets_up_an_empty_store_once(url: str, redis: Redis) -> None:
    """Several brokers that start at once on an empty store agree on its numbers."""

    async def start() -> None:
        async with opened(BrokerSettings(redis_url=url, partitions=3)):
            pass

    await asyncio.gather(*(start() for _ in range(5)))
    assert redis.get("titan:format") == str(PRESENT).encode()
    assert redis.get("titan:partitions") == b"3"


async def test_raise_layout_compares_first(redis: Redis, store: JobStore) -> None:
    """The number rises from the one that was seen only, and the second caller changes nothing."""
    await store.open()
    assert not await store.raise_layout(PRESENT - 1, PRESENT + 1)
    assert await store.raise_layout(PRESENT, PRESENT + 1)
    assert not await store.raise_layout(PRESENT, PRESENT + 1)
    assert redis.get("titan:format") == str(PRESENT + 1).encode()
