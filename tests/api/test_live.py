"""watch: live views as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from broker.auth.grants import Access
from broker.auth.token_file import digest
from broker.core.errors import StoreUnavailable
from broker.core.settings import BrokerSettings
from broker.http.app import DISPATCHER
from tests.api.client import NO_JOB, Http
from tests.conftest import eventually
from tests.stores import Store


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A view is computed many times a second, and a sweep rests shortly."""
    monkeypatch.setattr("broker.http.live.EVERY_S", 0.02)
    monkeypatch.setattr("broker.diagnostics.snapshot.EVERY_S", 0.02)
    monkeypatch.setattr("broker.diagnostics.snapshot.REST", 1)


@asynccontextmanager
async def watching(http: Http, view: str, **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """A client of a view whose answer has begun."""
    url = f"http://{http.address[0]}:{http.address[1]}/v1/live"
    async with asyncio.timeout(20), http.session.get(url, params={"view": view}, headers=headers) as answer:
        yield answer


async def event(answer: aiohttp.ClientResponse) -> tuple[str, Any]:
    """The next event that is no comment: its kind and its data."""
    while True:
        lines = (await answer.content.readuntil(b"\n\n")).decode().strip().split("\n")
        fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
        if fields:
            return fields.get("event", "message"), json.loads(fields["data"])


async def until(answer: aiohttp.ClientResponse, kind: str, **found: Any) -> Any:
    """The data of the first event of this kind in which the totals or counts have these numbers."""
    while True:
        seen, data = await event(answer)
        numbers = data.get("totals") or data.get("group", {}).get("counts") or data.get("error", {})
        if seen == kind and all(numbers.get(name) == value for name, value in found.items()):
            return data


async def test_watch_of_the_overview(http: Http) -> None:
    """A view has the answer of its GET, parameters too, and follows what happens."""
    await http.enqueue(group="a")
    async with watching(http, "overview?sort=name&n=1") as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
        data = await until(answer, "message", queued=1)
        assert [group["name"] for group in data["groups"]] == ["a"]
        await http.enqueue(group="b")
        data = await until(answer, "message", queued=2)
        assert (data["matched"], len(data["groups"]), bool(data["cursor"])) == (2, 1, True)


async def test_watch_of_each_kind(http: Http) -> None:
    """The data of a view is the answer of its GET."""
    [job] = await http.enqueue()
    batch = (await http("POST", "/v1/groups/g/batches", {"batch": {"open": True}})).json["batch"]
    await http("POST", "/v1/workers", {"name": "w1", "host": "h"})
    bulk = (await http("POST", "/v1/groups/g/bulk", {"action": "promote", "dry_run": True})).json["bulk"]
    async with asyncio.timeout(20):
        while (await http("GET", f"/v1/bulk/{bulk['id']}")).json["bulk"]["state"] != "done":
            await asyncio.sleep(0.01)
    for view, path in (
        ("group:g", "/v1/groups/g"),
        (f"job:g/{job['id']}", f"/v1/groups/g/jobs/{job['id']}"),
        (f"batch:g/{batch['id']}", f"/v1/groups/g/batches/{batch['id']}"),
        ("workers", "/v1/workers"),
        (f"bulk:{bulk['id']}", f"/v1/bulk/{bulk['id']}"),
    ):
        async with watching(http, view) as answer:
            assert await event(answer) == ("message", (await http("GET", path)).json)


async def test_watch_is_silent_while_nothing_changes(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is the same is not sent again; a comment shows that the stream lives."""
    monkeypatch.setattr("broker.http.live.PING_S", 0.2)
    await http.enqueue()
    async with watching(http, "group:g") as answer:
        await event(answer)
        assert await answer.content.readuntil(b"\n\n") == b": \n\n"
        await http.enqueue()
        await until(answer, "message", queued=2)


async def test_watch_is_computed_once_for_all(http: Http, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten clients of a view cost what one does; when the last one leaves, nothing is computed."""
    await http.enqueue()
    calls = 0
    show = store.groups.show_tagged

    async def counted(name: str) -> Any:
        nonlocal calls
        calls += 1
        return await show(name)

    monkeypatch.setattr(store.groups, "show_tagged", counted)
    monkeypatch.setattr("broker.http.live.EVERY_S", 60)
    async with AsyncExitStack() as stack:
        for _ in range(10):
            answer = await stack.enter_async_context(watching(http, "group:g"))
            await event(answer)
        assert calls == 1
    live = http.runner.app[DISPATCHER].context.live
    await eventually(lambda: not live._views and not live._watchers)


@pytest.mark.parametrize("view", ["", "jobs", "group", "group:", "job:g", "overview:g", "job:g/1/2", "group:g/x"])
async def test_watch_of_a_bad_view(http: Http, view: str) -> None:
    """A view that does not exist is a 400 that says which ones do."""
    reply = await http("GET", f"/v1/live?view={view}")
    assert (reply.status, reply.problem.fields) == (400, "view")


async def test_watch_that_is_refused(http: Http) -> None:
    """The first answer decides: what its GET refuses, the view refuses, with the same status."""
    for view, status in (
        ("group:none", 404),
        (f"job:g/{NO_JOB}", 404),
        ("overview%3Fn=900", 400),
        ("overview%3Fx=1", 400),
    ):
        assert (await http("GET", f"/v1/live?view={view}")).status == status, view


async def test_watch_while_the_store_is_away(http: Http, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault is an event of its own, and the view continues after it."""
    await http.enqueue()
    async with watching(http, "group:g") as answer:
        await event(answer)
        show = store.groups.show_tagged

        async def away(_: str) -> Any:
            raise StoreUnavailable

        monkeypatch.setattr(store.groups, "show_tagged", away)
        assert (await until(answer, "problem"))["error"]["code"] == "store_unavailable"
        monkeypatch.setattr(store.groups, "show_tagged", show)
        await until(answer, "message", queued=1)


async def test_watch_of_a_large_answer(http: Http) -> None:
    """An answer of more than 64 KiB is refused: a client reads it with GET."""
    [job] = await http.enqueue({"payload": "x" * 70_000})
    reply = await http("GET", f"/v1/live?view=job:g/{job['id']}")
    assert (reply.status, reply.problem.code) == (413, "too_large")


async def test_watch_drops_a_client_that_does_not_read(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads nothing is cut off, and its place is free again."""
    monkeypatch.setattr("broker.http.event_stream.SLOW_S", 0.2)
    live = http.runner.app[DISPATCHER].context.live
    number = 0

    async def grows(*_: object, **__: object) -> bytes:
        nonlocal number
        number += 1
        return json.dumps({"n": number, "rest": "x" * 60_000}).encode()

    monkeypatch.setattr(live, "answer", grows)
    monkeypatch.setattr("broker.http.live.EVERY_S", 0)
    reader, writer = await asyncio.open_connection(*http.address, limit=1024)
    writer.write(b"GET /v1/live?view=workers HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    await eventually(lambda: not live._watchers, 30)
    assert number > 1
    writer.close()


async def test_watch_ends_when_the_broker_stops(http: Http) -> None:
    """A stop ends each stream in order."""
    await http.enqueue()
    async with watching(http, "group:g") as answer:
        await event(answer)
        await http.runner.app.shutdown()
        assert await answer.content.read() == b""


class TestWithTwoPlaces:
    """A broker for two clients of live views."""

    @pytest.fixture
    def settings(self) -> BrokerSettings:
        return BrokerSettings(max_listeners=2)

    async def test_watch_by_too_many(self, http: Http) -> None:
        """The third client is refused until one leaves."""
        await http.enqueue()
        async with watching(http, "group:g") as first, watching(http, "workers") as second:
            await event(first)
            await event(second)
            reply = await http("GET", "/v1/live?view=workers")
            assert (reply.status, reply.problem.code) == (429, "limit_reached")
        await eventually(lambda: not http.runner.app[DISPATCHER].context.live._watchers)
        async with watching(http, "workers") as third:
            assert third.status == 200


class TestWithTokens:
    """A broker with tokens for all and for some groups."""

    @pytest.fixture
    def tokens(self, tmp_path: Path) -> Path:
        path = tmp_path / "tokens"
        path.write_text(f"{digest('ops').hex()} read,produce *\n{digest('mail').hex()} read mail*\n")
        return path

    @pytest.fixture
    def access(self, tokens: Path) -> Access:
        return Access(tokens)

    async def test_watch_with_a_token_for_some_groups(self, http: Http) -> None:
        """Each token gets its own answer, and no view of what it may not see."""
        for group in ("mail-a", "secret"):
            body = {"jobs": [{"image": "i"}]}
            await http("POST", f"/v1/groups/{group}/jobs", body, Authorization="Bearer ops")
        async with (
            watching(http, "overview", Authorization="Bearer ops") as every,
            watching(http, "overview", Authorization="Bearer mail") as own,
        ):
            assert (await until(every, "message", queued=2))["matched"] == 2
            assert (await until(own, "message", queued=1))["matched"] == 1
        for view in ("group:secret", "workers"):
            assert (await http("GET", f"/v1/live?view={view}", Authorization="Bearer mail")).status == 403
        assert (await http("GET", "/v1/live?view=workers")).status == 401

    async def test_watch_with_a_token_that_is_taken_away(
        self, http: Http, access: Access, tokens: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A stream of a token that is no longer in the file ends with a problem."""
        monkeypatch.setattr("broker.http.live.PING_S", 0.1)
        await http("POST", "/v1/groups/g/jobs", {"jobs": [{"image": "i"}]}, Authorization="Bearer ops")
        async with watching(http, "group:g", Authorization="Bearer ops") as answer:
            await event(answer)
            await asyncio.to_thread(tokens.write_text, f"{digest('other').hex()} read *\n")
            access.reload()
            assert (await until(answer, "problem"))["error"]["code"] == "unauthorized"
            assert await answer.content.read() == b""

    async def test_watch_with_a_token_that_is_narrowed(
        self, http: Http, access: Access, tokens: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A stream ends as soon as its token is for other groups; a file that is read again alone ends none."""
        monkeypatch.setattr("broker.http.live.PING_S", 0.1)
        await http("POST", "/v1/groups/g/jobs", {"jobs": [{"image": "i"}]}, Authorization="Bearer ops")
        async with watching(http, "group:g", Authorization="Bearer ops") as answer:
            await event(answer)
            access.reload()
            assert await answer.content.readuntil(b"\n\n") == b": \n\n"
            await asyncio.to_thread(tokens.write_text, f"{digest('ops').hex()} admin other\n")
            access.reload()
            assert (await until(answer, "problem"))["error"]["code"] == "forbidden"
            assert await answer.content.read() == b""
