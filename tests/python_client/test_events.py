"""Events in the Python client: as they happen, and on from where a listener was."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from titan import AsyncClient, Client
from titan.listening import Listening


@contextmanager
def enqueued(client: Client, group: str) -> Iterator[set[str]]:
    """Inside the block jobs come into the group, one after the other; their ids so far."""
    made: set[str] = set()
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.05):
            made.add(client.enqueue(group, image="x").id)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield made
    finally:
        stop.set()
        thread.join()


async def test_events_and_those_after_one_of_them(client: Client, broker: str, group: str) -> None:
    """A listener gets what happens in its group, also the one that continues after an event of another."""
    with enqueued(client, group) as made:
        for first in client.events(group, kinds="enqueued"):
            if first.kind == "enqueued":
                break
        assert (first.group, set(first.ids) <= made) == (group, True)
        async with AsyncClient(broker) as other:
            async for event in other.events(group, kinds=["enqueued"], last_id=first.id):
                assert event.kind == "enqueued", event.reason
                assert made >= set(event.ids)
                assert not set(first.ids) & set(event.ids)
                break


def test_a_place_without_an_event() -> None:
    """An id that comes with a comment alone is where the next connection continues; one that broke off is none."""
    listening = Listening(["g"], "failed", "2026-11-30T00:00:00Z", "")
    assert listening.request.target == "/events?group=g&kind=failed&since=2026-11-30T00%3A00%3A00Z"
    assert [listening.feed(line) for line in (b": ready\n", b"id: 7-0.999999\n", b"\n")] == [None] * 3
    assert listening.is_ready
    assert listening.feed(b"id: 8-0.1\n") is None
    assert listening.request.headers == {"Last-Event-ID": "7-0.999999"}
    assert listening.request.target == "/events?group=g&kind=failed"
