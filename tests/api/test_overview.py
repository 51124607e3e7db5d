"""show_overview: totals, alerts, and a page of groups."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from broker.auth.grants import Access
from broker.auth.token_file import digest
from broker.core.errors import StoreUnavailable
from broker.core.settings import BrokerSettings
from broker.diagnostics import snapshot
from broker.diagnostics.alerts import alerts_of
from broker.diagnostics.overview import GroupFilter, overview
from broker.diagnostics.snapshot import Snapshots
from broker.models.groups import GroupSettings
from broker.models.jobs import NewJob
from broker.models.overview import DispatchLimits
from broker.models.workers import Announcement
from broker.resp import keys
from broker.resp.topology import Server, Topology
from broker.store.format.glances import EMPTY, GroupRow
from broker.store.group_counts import FAILED, LOST, OUT, SUCCEEDED
from broker.store.job_store import JobStore
from tests.api.client import Http
from tests.stores import OneByOne, Store

NOW = 10_000_000


def names(answer: dict[str, Any]) -> list[str]:
    return [group["name"] for group in answer["groups"]]


async def test_overview_of_an_empty_store(http: Http) -> None:
    """Without groups there are zeros, no alert and no cursor."""
    answer = (await http("GET", "/v1/overview")).json
    assert answer["totals"] == dict.fromkeys(answer["totals"], 0)
    assert (answer["groups"], answer["alerts"], answer["matched"]) == ([], [], 0)
    assert answer["workers"] == {"n": 0, "slots": 0, "busy": 0, "quiet": 0}
    assert not answer.keys() & {"cursor", "away", "oldest_s"}


async def test_alert_of_ends_that_are_settled_late(http: Http, store: Store) -> None:
    """The end of a job that waits for more than 5 s to be settled is an alert, the first one after the store's."""
    for age_s, codes in ((4, []), (90, ["unsettled"])):
        await store.redis.zadd(keys.settle(store.partitions[0]), {"0" * 16: time.time() * 1000 - 1000 * age_s})
        alerts = (await http("GET", "/v1/overview")).json["alerts"]
        assert [alert["code"] for alert in alerts] == codes
    assert re.match(r"The end of a job waits for (89|9\d) s to be settled", alerts[0]["text"])


async def test_overview_of_some_groups(http: Http, store: Store) -> None:
    """Totals and rates are sums over the groups; each group has its counts, settings, rates and 60 minutes."""
    await http.running({}, {}, group="a")
    await http.enqueue({}, {"delay": 60}, group="b")
    await store.groups.configure("b", GroupSettings(max_concurrency=4))
    await store.workers.announce(Announcement(name="w", host="h", slots=8, busy=2, state="quiet"))
    await store.counts.flush()
    answer = (await http("GET", "/v1/overview?sort=name")).json
    totals = {name: n for name, n in answer["totals"].items() if n}
    assert totals == {"groups": 2, "queued": 1, "running": 2, "delayed": 1}
    assert answer["workers"] == {"n": 1, "slots": 8, "busy": 2, "quiet": 1}
    assert names(answer) == ["a", "b"]
    first, second = answer["groups"]
    assert (first["counts"]["running"], second["settings"]) == (2, {"paused": False, "max_concurrency": 4})
    assert first["spark"][-2:] in ([0, 2], [2, 0])
    assert len(first["spark"]) == 60
    assert 0 < first["rates"]["out"] == first["rates"]["in"] <= answer["rates"]["in"] < 1
    assert 0 <= second["oldest_s"] < 60
    assert "oldest_s" not in first


async def test_overview_pages(http: Http) -> None:
    """Each order has pages that give each group once, and says how many match."""
    for number in range(7):
        await http.enqueue(*[{}] * (number % 3 + 1), group=f"g{number}")
    for sort in ("name", "oldest", "queued", "delayed", "running", "failed", "in", "out"):
        for order in ("asc", "desc"):
            seen: list[str] = []
            cursor = ""
            while True:
                path = f"/v1/overview?n=3&sort={sort}&order={order}&cursor={cursor}"
                answer = (await http("GET", path)).json
                assert answer["matched"] == 7
                seen += names(answer)
                cursor = answer.get("cursor", "")
                if not cursor:
                    break
            assert sorted(seen) == [f"g{number}" for number in range(7)], (sort, order)
    assert names((await http("GET", "/v1/overview?sort=queued&n=2")).json) == ["g2", "g5"]
    assert names((await http("GET", "/v1/overview?sort=name&order=desc&n=2")).json) == ["g6", "g5"]
    assert names((await http("GET", "/v1/overview?sort=oldest&n=1")).json) == ["g0"]


async def test_overview_filters(http: Http, store: Store) -> None:
    """Q searches in names in any case; `only` given twice means any of both."""
    await http.running(group="Mail-out")
    await http.enqueue(group="mail-in")
    await store.groups.configure("held", GroupSettings(paused=True))
    for query, found in (
        ("q=mail", ["Mail-out", "mail-in"]),
        ("only=paused", ["held"]),
        ("only=busy", ["Mail-out"]),
        ("only=busy&only=paused", ["Mail-out", "held"]),
        ("only=busy&q=IN", []),
        ("only=stuck", []),
    ):
        answer = (await http("GET", f"/v1/overview?sort=name&{query}")).json
        assert (names(answer), answer["matched"], answer["totals"]["groups"]) == (found, len(found), 3), query


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *[("n=201", "n"), ("sort=age", "sort"), ("order=up", "order"), ("only=all", "only"), ("cursor=x", "cursor")],
        *[("sort=queued&cursor=name.asc.0.g", "cursor"), ("sort=name&order=desc&cursor=name.asc.0.g", "cursor")],
    ],
)
async def test_overview_with_a_bad_parameter(http: Http, query: str, field: str) -> None:
    """A parameter that is out of bounds is a 400 that names it."""
    reply = await http("GET", f"/v1/overview?{query}")
    assert (reply.status, reply.problem.fields) == (400, field)


class TestWithTokens:
    """A broker with a token for some groups."""

    @pytest.fixture
    def access(self, tmp_path: Path) -> Access:
        path = tmp_path / "tokens"
        path.write_text(f"{digest('ops').hex()} read,produce *\n{digest('mail').hex()} read mail*\n")
        return Access(path)

    async def test_overview_of_a_token_for_some_groups(self, http: Http) -> None:
        """It sees the sums of its own groups only, and no workers."""
        for group, n in (("mail-a", 1), ("mail-b", 2), ("secret", 4)):
            body = {"jobs": [{"image": "i"}] * n}
            await http("POST", f"/v1/groups/{group}/jobs", body, Authorization="Bearer ops")
        answer = (await http("GET", "/v1/overview?sort=name", Authorization="Bearer mail")).json
        assert (names(answer), answer["matched"]) == (["mail-a", "mail-b"], 2)
        assert (answer["totals"]["groups"], answer["totals"]["queued"]) == (2, 3)
        assert "workers" not in answer
        assert (await http("GET", "/v1/overview", Authorization="Bearer ops")).json["totals"]["queued"] == 7


def row(**changes: Any) -> GroupRow:
    """A group whose jobs were taken a moment ago."""
    numbers = {"recent": {OUT: 1}, "hour": {}} | {key: changes.pop(key) for key in ("recent", "hour") if key in changes}
    fields = {key: tuple(some.get(i, 0) for i in range(8)) for key, some in numbers.items()}
    counts = (0, changes.pop("queued", 1), changes.pop("running", 0), 0, 0, 0)
    oldest_at = NOW - 1000 * changes.pop("waits_s", 0)
    given = {"name": "mail", "created_at": "0", "oldest_at": oldest_at, "asked_at": None, "limits": EMPTY.limits}
    return GroupRow(**given | fields | {"counts": counts} | changes)


@pytest.mark.parametrize(
    ("found", "code", "text"),
    [
        (row(), None, ""),
        (row(waits_s=240), "oldest", "The oldest job of mail waits for 4 min."),
        (
            row(waits_s=240, running=20, limits=DispatchLimits(max_concurrency=20)),
            "oldest",
            "The oldest job of mail waits for 4 min; 20 run, and max_concurrency is 20.",
        ),
        (
            row(waits_s=300, recent={}),
            "stuck",
            "1 job of mail waits, the oldest for 5 min, and none was taken in the last 5 min.",
        ),
        (
            row(waits_s=300, recent={}, asked_at=NOW - 1_860_000, queued=2),
            "nobody_asks",
            "Nobody asked for jobs of mail for 31 min; 2 jobs wait.",
        ),
        (row(hour={FAILED: 1, SUCCEEDED: 19}), None, ""),
        (row(hour={FAILED: 2, SUCCEEDED: 8}), "failing", "2 of 10 jobs of mail failed in the last hour."),
        (row(hour={FAILED: 9}), None, ""),
        (row(hour={LOST: 3}), "leases_lost", "3 leases of mail ended without a report in the last hour."),
        (row(limits=DispatchLimits(paused=True)), "paused", "1 job of mail waits: the group is paused."),
    ],
)
def test_alerts_by_rule(found: GroupRow, code: str | None, text: str) -> None:
    """A group with one fault has one alert; a sentence says what is wrong."""
    alerts = alerts_of([found], NOW)
    assert [(alert.code, alert.text, alert.group) for alert in alerts] == ([(code, text, "mail")] if code else [])


@pytest.mark.parametrize(
    ("found", "codes"),
    [
        (row(hour={FAILED: 20, LOST: 3}), ["failing", "leases_lost"]),
        (row(hour={FAILED: 20}, waits_s=300, recent={}), ["stuck", "failing"]),
        (row(hour={LOST: 1, FAILED: 20}, waits_s=300), ["failing", "leases_lost", "oldest"]),
        (row(hour={LOST: 1}, waits_s=300, limits=DispatchLimits(paused=True)), ["leases_lost", "paused"]),
    ],
)
def test_alerts_of_a_group_with_several_faults(found: GroupRow, codes: list[str]) -> None:
    """Each fault has its alert, the worst first; why its jobs wait is one fault."""
    assert [alert.code for alert in alerts_of([found], NOW)] == codes


def test_alerts_are_the_five_worst() -> None:
    """The worst rule comes first, then the worst group of a rule."""
    rows = [row(name=f"g{n}", waits_s=200 + n) for n in range(9)] + [row(name="bad", hour={FAILED: 50, LOST: 1})]
    assert [alert.group for alert in alerts_of(rows, NOW)] == ["bad", "bad", "g8", "g7", "g6"]


async def test_overview_begins_with_warnings_of_the_store(store: Store, snapshots: Snapshots) -> None:
    """What is wrong with the store is the first alert."""
    answer = await overview(store, snapshots, GroupFilter(), warnings=["It has no disk."])
    assert [(alert.code, alert.text) for alert in answer.alerts] == [("store", "It has no disk.")]


@pytest.fixture
async def snapshots(store: Store) -> AsyncIterator[Snapshots]:
    found = Snapshots(store)
    yield found
    await found.close()


async def test_sweep_only_while_somebody_asks(
    store: Store, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read until somebody asks; a minute after the last question it ends."""
    monkeypatch.setattr(snapshot, "EVERY_S", 0.01)
    monkeypatch.setattr(snapshot, "REST", 1)
    assert snapshots._sweeping is None
    await store.enqueue("g", [NewJob(image="i")])
    first = await snapshots.current()
    assert first.groups.total() == 1
    monkeypatch.setattr(snapshot, "ASKED_S", 0)
    assert snapshots._sweeping is not None
    await asyncio.wait_for(snapshots._sweeping, 10)
    assert snapshots.last is not None


async def test_sweep_reads_all_pages(store: Store, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups are read in steps; what is not kept is counted."""
    monkeypatch.setattr(snapshot, "PAGE", 2)
    monkeypatch.setattr(snapshot, "MOST_ROWS", 4)
    for number in range(5):
        await store.enqueue(f"g{number}", [NewJob(image="i")])
    answer = await overview(store, snapshots, GroupFilter())
    assert (answer.totals.groups, answer.totals.queued, answer.matched, answer.is_whole) == (5, 5, 4, False)


async def test_overview_while_the_store_is_away(
    store: Store, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a store there is no overview: a 503, in time."""

    async def away(*_: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(store.glances, "page", away)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await snapshots.current()
    assert time.monotonic() - began < 5


class TestWithTwoServers:
    """A store of two partitions, each on a server."""

    @pytest.fixture
    def settings(self, settings: BrokerSettings) -> BrokerSettings:
        return msgspec.structs.replace(settings, partitions=2)

    @pytest.fixture
    def servers(self, store: Store, settings: BrokerSettings, backend: str) -> JobStore:
        """The store, as if its partitions were on two servers."""
        both = [Server(store.redis, OneByOne(store.redis, 5), name) for name in ("first", "second")]  # type: ignore[arg-type]
        servers = JobStore(Topology(both, store.partitions), settings, is_plain=backend == "fake")
        servers._partitions._scripts.before_loading = None
        return servers

    async def test_overview_with_a_server_away(self, servers: JobStore) -> None:
        """The groups of a server that does not answer are left out, and answers say which partition is away."""
        groups = [f"g{number}" for number in range(6)]
        for group in groups:
            await servers.enqueuer.enqueue(group, [NewJob(image="i")])
        assert await servers.counts.flush()
        own = {group for group in groups if keys.partition_of(group, 2) == 0}
        whole, partly = Snapshots(servers), Snapshots(servers)
        try:
            assert (await overview(servers, whole, GroupFilter())).matched == len(groups)
            servers.topology.hold(servers.topology.all[1], "It is away.")
            swept, read_again = [await overview(servers, each, GroupFilter()) for each in (partly, whole)]
        finally:
            await whole.close()
            await partly.close()
        assert (swept.totals.queued, swept.away, {group.name for group in swept.groups}) == (len(own), [1], own)
        assert (read_again.away, {group.name for group in read_again.groups}) == ([1], own)

    async def test_stats_with_a_server_away(self, servers: JobStore) -> None:
        """The totals are those of the other server; with none that answers it is a refusal."""
        for number in range(6):
            await servers.enqueuer.enqueue(f"g{number}", [NewJob(image="i")])
        servers.topology.hold(servers.topology.all[1], "It is away.")
        assert not await servers.counts.flush()
        stats = await servers.statistics.of_all("1h")
        own = sum(1 for number in range(6) if keys.partition_of(f"g{number}", 2) == 0)
        assert (sum(slot.in_ for slot in stats.slots), stats.away) == (own, [1])
        servers.topology.admit(servers.topology.all[1])
        assert await servers.counts.flush()
        stats = await servers.statistics.of_all("1h")
        assert (sum(slot.in_ for slot in stats.slots), stats.away) == (6, UNSET)
        for server in servers.topology.all:
            servers.topology.hold(server, "It is away.")
        with pytest.raises(StoreUnavailable):
            await servers.statistics.of_all("1h")
