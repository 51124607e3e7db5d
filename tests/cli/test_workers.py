"""`titan worker list`, `status`, `quiet`, `resume` and `drain`."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.models.workers import Announcement, Orders
from tests.cli.live import Titan
from worker.client import Client

Announce = Callable[..., Orders]
ORDERS = ["quiet", "resume", "drain"]


@pytest.fixture
def name() -> str:
    """The name of a worker that no other test has."""
    return f"w{secrets.token_hex(6)}"


@pytest.fixture
def announce(titan: Titan, name: str) -> Iterator[Announce]:
    """Announce a worker, called `name` by default; it stops with the test."""
    names = {name}

    def say(**said: Any) -> Orders:
        announcement = Announcement(**({"name": name, "host": "h1", "slots": 4} | said))
        names.add(announcement.name)
        return asyncio.run(_announce(titan.broker_url, announcement))

    yield say
    for known in names:
        say(name=known, state="stopped")


async def _announce(url: str, announcement: Announcement) -> Orders:
    async with Client(url) as client:
        return await client.announce(announcement)


def rows(shown: str) -> dict[str, str]:
    """A page's names and values."""
    return dict(line.split(maxsplit=1) for line in shown.splitlines() if len(line.split()) > 1)


def test_list_table(titan: Titan, name: str, announce: Announce) -> None:
    """Workers are rows: what they run, for how long, and which order they have not carried out yet."""
    since = f"{datetime.now(UTC) - timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}"
    counts = {"busy": 1, "running": ["x"], "finished": 12, "failed": 2, "since": since}
    announce(runner="process", version="1.2", groups=["a", "b"], images=["send"], **counts)
    titan("worker", "quiet", name)
    head, *lines = (line.split() for line in titan("worker", "list").out.splitlines())
    row = dict(zip(head, next(line for line in lines if line[0] == name), strict=True))
    assert row.pop("SEEN") in {"0s", "1s", "2s", "3s", "4s", "5s"}
    assert row == {
        "NAME": name, "HOST": "h1", "STATE": "working", "ORDER": "quiet", "BUSY": "1/4", "GROUPS": "a,b",
        "IMAGES": "send", "UP": "3h", "DONE": "12", "FAILED": "2", "VERSION": "1.2",
    }  # fmt: skip


def test_list_json(titan: Titan, name: str, announce: Announce) -> None:
    """--json has the API's fields; an order that nobody gave is left out."""
    announce(running=["x", "y"], busy=2)
    listed = titan("worker", "list", "--json").json["workers"]
    shown = next(worker for worker in listed if worker["name"] == name)
    assert (shown["running"], shown["busy"], shown["slots"], shown["state"]) == (["x", "y"], 2, 4, "working")
    assert "order" not in shown


def test_list_all(titan: Titan, name: str, announce: Announce, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list follows the cursors to the end."""
    monkeypatch.setattr("broker.cli.worker.MAX_JOBS", 2)
    names = {f"{name}{i}" for i in range(5)}
    for each in names:
        announce(name=each)
    listed = titan("worker", "list", "--json").json
    assert names <= {worker["name"] for worker in listed["workers"]}
    assert "cursor" not in listed


def test_list_no_worker(titan: Titan) -> None:
    """Without workers stderr has a line; as JSON it is an empty list."""
    assert titan("worker", "list") == (0, "", "No worker is running.\n")
    assert titan("worker", "list", "--json").json == {"workers": []}


def test_list_stopped(titan: Titan, name: str, announce: Announce) -> None:
    """A worker that said that it stops is off the list at once."""
    announce()
    assert name in titan("worker", "list").out
    announce(state="stopped")
    assert name not in titan("worker", "list").out


def test_list_control_characters(titan: Titan, name: str, announce: Announce) -> None:
    """What a worker says of itself cannot steer a terminal."""
    announce(host="h\u009b2Jx")
    assert "h 2Jx" in titan("worker", "list").out


def test_status_page(titan: Titan, name: str, announce: Announce) -> None:
    """A worker is shown as names and values, its jobs in a table with their ages."""
    titan.made(name)
    job = titan.taken(name)
    announce(runner="python", busy=2, running=[job["id"], "y"], since="odd")
    shown = titan("worker", "status", name).out
    page = rows(shown)
    assert (page["name"], page["runner"], page["busy"]) == (name, "python", "2")
    head, first, second = (line.split() for line in shown.partition("\nRunning\n")[2].splitlines())
    assert head == ["ID", "GROUP", "IMAGE", "AGE"]
    assert first[:3] == [job["id"], name, "hello"]
    assert first[3].endswith("s")
    assert second == ["y"]
    assert " s ago (today " in page["seen_at"]
    assert "order" not in page


def test_status_json(titan: Titan, name: str, announce: Announce) -> None:
    """--json is the API's answer."""
    announce(running=["x"], busy=1)
    shown = titan("worker", "status", name, "--json").json["worker"]
    assert (shown["name"], shown["host"], shown["running"]) == (name, "h1", ["x"])


@pytest.mark.parametrize("order", ORDERS)
def test_order(titan: Titan, name: str, announce: Announce, order: str) -> None:
    """The worker hears the order with its next word, and it is shown until the worker says that it is done."""
    announce()
    ordered = titan("worker", order, name)
    assert ordered == (0, f"{name} gets the order within seconds: {order}\n", "")
    assert rows(titan("worker", "status", name).out)["order"] == order
    heard = announce()
    assert heard.order == order
    announce(done=heard.number)
    assert "order" not in rows(titan("worker", "status", name).out)


@pytest.mark.parametrize("order", ORDERS)
def test_order_json(titan: Titan, name: str, announce: Announce, order: str) -> None:
    """--json shows the worker with the order that it is still to carry out."""
    announce()
    shown = titan("worker", order, name, "--json").json["worker"]
    assert (shown["name"], shown["order"]) == (name, order)


@pytest.mark.parametrize("command", ["status", *ORDERS])
def test_unknown_worker(titan: Titan, name: str, command: str) -> None:
    """An unknown worker is refused, and stdout stays empty for scripts."""
    for words in ([], ["--json"]):
        refused = titan("worker", command, name, *words)
        assert (refused.code, refused.out) == (1, "")
        assert "no such worker" in refused.err


@pytest.mark.parametrize("command", ["status", *ORDERS])
def test_no_name(titan: Titan, command: str) -> None:
    """A command for one worker needs its name."""
    refused = titan("worker", command)
    assert (refused.code, refused.out) == (2, "")
    assert "NAME" in refused.err


def test_no_broker(titan: Titan, unused_tcp_port: int) -> None:
    """A broker that cannot be reached has an exit code of its own."""
    for words in (["list"], ["status", "w1"], ["drain", "w1"]):
        refused = titan("worker", *words, TITAN_BROKER_URL=f"http://127.0.0.1:{unused_tcp_port}")
        assert (refused.code, refused.out) == (3, "")
