"""`titan events` and `titan scale`."""

import json
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from broker.cli.events import followed
from tests.cli.live import Titan
from titan.errors import BrokerUnavailable
from titan.listening import Listening
from worker.client import Client

_EVENT = (
    b'id: 7-0.%d\nevent: failed\ndata: {"group":"g","kind":"failed","ids":["a"],"at":"2026-11-29T10:00:00.000Z"}\n\n'
)


def shown(titan: Titan, word: str, *options: str) -> str:
    """What `titan events` prints once this word is in it."""
    end = time.monotonic() + 10
    while word not in (out := titan("events", *options).out):
        assert time.monotonic() < end, out
    return out


def test_events_that_are_kept(titan: Titan, group: str) -> None:
    """One line for each event: when, what, where and which; --json has one object in a line."""
    assert titan("events").code == 0  # now somebody listens
    job_id = titan.made(group)
    out = shown(titan, job_id, "--group", group)
    assert "enqueued" in out
    assert "gap: " in out  # of the time before
    titan("job", "cancel", group, job_id)
    last = json.loads(shown(titan, "cancelled", "--kind", "cancelled", "--group", group, "--json").splitlines()[-1])
    assert (last["kind"], last["group"], last["ids"], last["n"]) == ("cancelled", group, [job_id], 1)
    assert titan("events", "--kind", "none").code == 2


class Stub:
    """A broker whose stream breaks off after each event."""

    def __init__(self) -> None:
        self.last_ids: list[str | None] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send one event, or end the stream after three connections."""
        self.last_ids.append(request.headers.get("Last-Event-ID"))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(_EVENT % len(self.last_ids))
        assert request.transport is not None
        request.transport.abort()
        return response


@pytest.fixture
async def stub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Stub, str]]:
    """A stub that listens, and its address; nobody waits before the next connection."""
    monkeypatch.setattr("titan.listening._FIRST_S", 0)
    monkeypatch.setattr("titan.listening._LONGEST_S", 0)
    made = Stub()
    server = web.ServerRunner(web.Server(made))
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    yield made, f"http://127.0.0.1:{server.addresses[0][1]}"
    await server.cleanup()


async def test_a_stream_that_breaks_off_continues(stub: tuple[Stub, str]) -> None:
    """Each new connection continues after the last event; to a broker that never answers there is none."""
    async with Client(stub[1]) as client:
        found = followed(client, Listening((), (), None, ""), follow=True)
        assert [(await anext(found)).id for _ in range(3)] == ["7-0.1", "7-0.2", "7-0.3"]
        await found.aclose()
    assert stub[0].last_ids == [None, "7-0.1", "7-0.2"]
    async with Client("http://127.0.0.1:9") as client:
        with pytest.raises(BrokerUnavailable):
            await anext(followed(client, Listening((), (), None, ""), follow=False))


def test_scale_of_a_group(titan: Titan, group: str) -> None:
    """The number of workers, what it is made of, and a sentence; unknown groups need none."""
    titan.made(group)
    ran = titan("scale", group, "--per-worker", "2")
    rows = dict(line.split(maxsplit=1) for line in ran.out.splitlines()[:6])
    assert (rows["workers"], rows["queued"]) == ("1", "1")
    assert "1 job is queued" in ran.out
    assert titan("scale", f"{group}x", "--json").json["workers"] == 0
    assert titan("scale", group, "--min", "3", "--max", "2").code == 1
