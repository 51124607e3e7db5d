"""listen: events over HTTP, as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.auth.grants import EVERYTHING, Access
from broker.auth.token_file import digest
from broker.core.settings import BrokerSettings
from broker.core.timestamps import rfc3339
from broker.http import events
from broker.http.app import DISPATCHER
from broker.http.events import MOST_WAITING, SLOW, EventClient, Wanted
from broker.store.event_entries import EventEntry, EventPosition, position_of
from broker.store.event_feed import OLD
from tests.api.client import Http
from tests.conftest import eventually
from tests.stores import Store


@pytest.fixture
def settings(settings: BrokerSettings) -> BrokerSettings:
    """Two clients may listen."""
    return msgspec.structs.replace(settings, max_listeners=2)


@pytest.fixture(autouse=True)
async def feed(store: Store) -> AsyncIterator[None]:
    """The broker writes and reads events."""
    task = asyncio.create_task(store.events.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Stream:
    """The events of one client."""

    def __init__(self, response: Any) -> None:
        self.status = response.status
        self.headers = response.headers
        self._content = response.content

    async def piece(self) -> str:
        """The next event or comment, without its empty line."""
        return (await self._content.readuntil(b"\n\n")).decode().strip("\n")

    async def ready(self) -> str:
        """Wait until all events that were kept have come; the id of that place."""
        comment, _, place = (await self.piece()).partition("\nid: ")
        assert comment == ": ready"
        return place

    async def event(self) -> tuple[str, str, Any]:
        """The id, the kind and the data of the next event."""
        while (piece := await self.piece()).startswith(":"):
            pass
        fields = dict(line.split(": ", 1) for line in piece.splitlines())
        return fields.get("id", ""), fields["event"], json.loads(fields["data"])


@asynccontextmanager
async def listening(http: Http, query: str = "", headers: Mapping[str, str] = {}) -> AsyncIterator[Stream]:
    """A client that has listened since the beginning of the block."""
    url = f"http://{http.address[0]}:{http.address[1]}/v1/events{query}"
    async with asyncio.timeout(15), http.session.get(url, headers=dict(headers)) as response:
        yield Stream(response)


async def test_events_of_a_job(http: Http) -> None:
    """The life of a job as events: each has an id, a kind as its type, and the group, number, ids and time."""
    async with listening(http) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert await stream.ready()
        [job] = await http.running({})
        await http("POST", f"/v1/groups/g/jobs/{job['id']}/success")
        seen = {}
        while "succeeded" not in seen:
            name, kind, data = await stream.event()
            assert data["kind"] == kind
            seen[kind] = data
        assert seen.keys() >= {"enqueued", "taken"}
        assert seen["succeeded"].keys() == {"group", "kind", "ids", "at"}
        assert seen["succeeded"]["ids"] == [job["id"]]
        again = {"Last-Event-ID": name}
    await http.enqueue()
    async with listening(http, "", again) as stream:
        _, kind, data = await stream.event()
        assert (kind, data["group"]) == ("enqueued", "g")


async def test_events_that_are_wanted(http: Http) -> None:
    """Filters for groups and kinds; a client with `since` gets what is kept, after a gap if more is gone."""
    async with listening(http, "?group=a&group=b&kind=enqueued") as stream:
        assert await stream.ready()
        await http.running({}, group="c")
        await http.running({}, group="b")
        assert (await stream.event())[2]["group"] == "b"
        await http.enqueue(group="a")
        assert (await stream.event())[2]["group"] == "a"
        async with listening(http, "?since=2020-01-01T00:00:00Z&group=c&format=cloudevents") as late:
            assert (await late.event())[1:] == ("gap", {"reason": OLD})
            while (found := await late.event())[1] == "gap":
                pass
            name, _, event = found
            assert event["id"] == name
            assert event["specversion"] == "1.0"
            assert event["type"] == "titan.job.enqueued"
            assert event["source"] == "/titan"
            assert event["subject"] == f"c/{event['data']['ids'][0]}"


async def test_listeners_that_are_refused(http: Http) -> None:
    """A bad id, kind or group is a 400, and a third listener a 429 while two listen."""
    for query, headers, field in (
        ("", {"Last-Event-ID": "7"}, "Last-Event-ID"),
        ("?kind=none", {}, "kind"),
        ("?since=yesterday", {}, "since"),
    ):
        reply = await http("GET", f"/v1/events{query}", **headers)
        assert reply.status == 400
        assert reply.problem.fields.startswith(field), query
    async with listening(http) as one, listening(http) as two:
        assert await one.ready() == await two.ready()
        assert (await http("GET", "/v1/events")).status == 429


async def test_a_quiet_stream_and_its_end(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing comes for a client it learns the place in the stream; a broker that stops ends the stream."""
    monkeypatch.setattr(events, "PING_S", 0.01)
    async with listening(http, "?group=g") as stream:
        place = await stream.ready()
        await http.enqueue(group="other")
        while (ids := (await stream.piece()).removeprefix(": \nid: ")) == place:
            pass
        assert ids > place
        http.runner.app[DISPATCHER].context.events.stop()
        while await stream.piece():
            pass  # what was on its way; the timeout fails the test if the stream does not end


async def test_a_listener_that_got_nothing_continues_where_it_was(http: Http) -> None:
    """The id that comes with `: ready` is a place: who comes back with it gets all that happened since."""
    async with listening(http, "?group=g") as stream:
        place = await stream.ready()
    await http.enqueue(group="other")
    await http.enqueue()
    async with listening(http, "?group=g", {"Last-Event-ID": place}) as stream:
        name, kind, _ = await stream.event()
        assert kind == "enqueued"
        assert name > place


async def test_since_a_time_after_the_last_event(http: Http) -> None:
    """Nothing has happened since then, so nothing is missing: what happens later comes, from that time on."""
    async with listening(http) as one:
        await one.ready()
        await http.enqueue()
        name, *_ = await one.event()
        last = position_of(name)
        assert last is not None
        async with listening(http, f"?since={rfc3339(last.ms + 1)}") as stream:
            assert await stream.ready()
            await http.enqueue(group="later")
            assert (await stream.event())[2]["group"] == "later"


async def test_since_a_time_to_come(http: Http) -> None:
    """That is no gap either."""
    async with listening(http, "?since=2999-01-01T00:00:00Z") as stream:
        assert await stream.ready()


async def test_a_reader_that_pauses(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not dropped, and gets a gap in place of what was too much; one that never reads is dropped in the end."""
    monkeypatch.setattr("broker.http.event_stream.SLOW_S", 0.01)
    monkeypatch.setattr(events, "MOST_WAITING", 5)
    clients = http.runner.app[DISPATCHER].context.events
    reader, writer = await asyncio.open_connection(*http.address, limit=1024)
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b": ready\n")
    [client] = clients._clients
    number = 0

    async def grow() -> None:
        nonlocal number
        number += 1
        client.take(EventEntry(EventPosition(4_000_000_000_000, number), [("failed", "g", 1, ["x" * 20_000] * 20, "")]))
        await asyncio.sleep(0)

    while not clients._gaps:
        await grow()
    await asyncio.sleep(0.1)  # ten times as long as a reader of a live view may pause
    while SLOW.encode() not in (read := await reader.read(2**20)):
        assert read
    writer.close()
    monkeypatch.setattr("broker.http.handlers.events.SLOW_S", 0.1)
    reader, writer = await asyncio.open_connection(*http.address, limit=1024)
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b": ready\n")
    await eventually(lambda: len(clients._clients) == 1)
    [client] = clients._clients
    async with asyncio.timeout(10):
        while clients._clients:
            await grow()
    writer.close()


def test_a_slow_client() -> None:
    """A client that is 1,000 events behind gets a gap in their place, and what is new."""
    gaps: list[int] = []
    client = EventClient(Wanted(EVERYTHING, (), (), is_cloud=False), lambda: gaps.append(1))
    for at in range(1, MOST_WAITING + 2):
        client.take(EventEntry(EventPosition(at, 0), [("failed", "g", 1, [], "")]))
    waiting = list(client._waiting)
    assert len(waiting) == 2
    assert SLOW.encode() in waiting[0]
    assert f"id: {MOST_WAITING + 1}-0.0".encode() in waiting[1]
    assert gaps == [1]


class TestWithTokens:
    """A broker with a file of tokens."""

    @pytest.fixture
    def access(self, tmp_path: Path) -> Access:
        """A token for all groups, and one for two."""
        path = tmp_path / "tokens"
        path.write_text(f"{digest('ops').hex()} admin *\n{digest('mail').hex()} read mail,po*\n")
        return Access(path)

    async def test_events_of_a_token_for_some_groups(self, http: Http) -> None:
        """It sees its own groups only, and no workers; another group is refused."""
        ops = {"Authorization": "Bearer ops"}
        own = {"Authorization": "Bearer mail"}
        assert (await http("GET", "/v1/events?group=x", **own)).status == 403
        assert (await http("GET", "/v1/events")).status == 401
        async with listening(http, "", own) as stream:
            assert await stream.ready()
            await http("POST", "/v1/workers", {"name": "w", "host": "h"}, **ops)
            for group in ("x", "post"):
                await http("POST", f"/v1/groups/{group}/jobs", {"jobs": [{"image": "i"}]}, **ops)
            assert (await stream.event())[2]["group"] == "post"

    async def test_events_of_a_token_that_is_narrowed(self, http: Http, access: Access, tmp_path: Path) -> None:
        """Its stream ends before it gets an event of a group that the token is no longer for."""
        ops = {"Authorization": "Bearer ops"}
        async with listening(http, "", {"Authorization": "Bearer mail"}) as stream:
            assert await stream.ready()
            text = f"{digest('ops').hex()} admin *\n{digest('mail').hex()} read mail\n"
            await asyncio.to_thread((tmp_path / "tokens").write_text, text)
            access.reload()
            await http("POST", "/v1/groups/post/jobs", {"jobs": [{"image": "i"}]}, **ops)
            _, kind, data = await stream.event()
            assert (kind, data["error"]["code"]) == ("problem", "forbidden")
