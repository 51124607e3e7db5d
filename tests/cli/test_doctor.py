"""`titan doctor` and `titan check`, with real stores."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.cli.live import Titan

ABOUT = ["version", "persistence", "eviction", "memory", "clock", "partitions", "reaper"]


@pytest.fixture
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that was never used."""
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def client(valkey_url: str) -> Iterator[Redis]:
    """A client of a store that somebody else set up."""
    with Redis.from_url(valkey_url) as client:
        yield client


def test_doctor_of_the_embedded_store(titan: Titan, embedded: Path) -> None:
    """The embedded store is fit in every way; it is started for the question where no broker runs."""
    shown = titan("doctor", "--data-dir", str(embedded))
    assert shown.code == 0, shown.out
    rows = [line.split()[:2] for line in shown.out.splitlines()[1:]]
    assert rows == [[about, "ok"] for about in ABOUT]
    assert not (embedded / "valkey.pid").exists()


def test_doctor_says_what_to_do(titan: Titan, valkey_url: str) -> None:
    """A problem has advice in its row, and the exit code is 1."""
    shown = titan("doctor", "--redis-url", valkey_url)
    assert shown.code == 1
    assert "set `appendonly yes`" in shown.out


def test_doctor_json(titan: Titan, valkey_url: str) -> None:
    """With --json, the same lines for programs."""
    lines = titan("doctor", "--redis-url", valkey_url, "--json").json["lines"]
    assert [line["about"] for line in lines] == ABOUT
    assert lines[1]["state"] == "wrong"


def test_doctor_late_reaper(titan: Titan, client: Redis, valkey_url: str, group: str) -> None:
    """A timer that nobody looks at is found, in whichever partition it is."""
    client.zadd(f"{group}:{{1}}:due", {"delayed:g": time.time() * 1000 - 60_000})
    report = titan("doctor", "--redis-url", valkey_url, "--key-prefix", group, "--partitions", "2", "--json").json
    line = report["lines"][-1]
    assert (line["about"], line["state"]) == ("reaper", "wrong")
    assert "60." in line["found"]


@pytest.mark.parametrize("what", ["groups", "group:g:jobs", "group:g:failed", "workers", "rates", "discarded"])
def test_doctor_clock_that_went_back(titan: Titan, client: Redis, valkey_url: str, group: str, what: str) -> None:
    """A time in the future shows that the clock went back, in any partition."""
    now_ms = time.time() * 1000
    client.zadd(f"{group}:{{1}}:groups", {"g": now_ms - 5000})
    client.zadd(f"{group}:{{1}}:{what}", {"x": now_ms + 601_000})
    report = titan("doctor", "--redis-url", valkey_url, "--key-prefix", group, "--partitions", "2", "--json").json
    client.delete(f"{group}:{{1}}:groups", f"{group}:{{1}}:{what}")
    [line] = [line for line in report["lines"] if line["about"] == "clock"]
    assert line["state"] == "wrong"
    assert "it went back: its newest time is 60" in line["found"]


def test_doctor_unreachable(titan: Titan) -> None:
    """A store that does not answer is one line on stderr, without its password."""
    shown = titan("doctor", "--redis-url", "redis://:swordfish@127.0.0.1:1")
    assert (shown.code, shown.out) == (1, "")
    assert len(shown.err.splitlines()) == 1
    assert "redis://127.0.0.1:1" in shown.err
    assert "swordfish" not in shown.err


@pytest.mark.parametrize("command", ["doctor", "check"])
def test_no_store_there(titan: Titan, tmp_path: Path, command: str) -> None:
    """A missing data folder is not created, because the user probably meant another one."""
    shown = titan(command, "--data-dir", str(tmp_path / "new"))
    assert shown.code == 1
    assert "--data-dir" in shown.err
    assert not (tmp_path / "new").exists()


def test_check_agrees(titan: Titan, embedded: Path) -> None:
    """A store in which everything agrees has no findings and exit code 0."""
    shown = titan("check", "--data-dir", str(embedded), "--json")
    assert shown.code == 0
    assert shown.json == {"findings": []}


def test_check_finds_and_repairs(titan: Titan, client: Redis, valkey_url: str, group: str) -> None:
    """A job without its record is found and reported, and --repair removes it."""
    where = ("--redis-url", valkey_url, "--key-prefix", group)
    client.zadd(f"{group}:{{0}}:groups", {"g": 1})
    client.hset(f"{group}:{{0}}:group:g", "created_at", 1)
    for name in ("jobs", "queued"):
        client.zadd(f"{group}:{{0}}:group:g:{name}", {"0000000000000000": 1})
    shown = titan("check", *where)
    assert shown.code == 1
    assert "0000000000000000" in shown.out
    assert titan("check", *where, "--repair").code == 1
    assert titan("check", *where).code == 0


@pytest.mark.slow
def test_check_on_a_terminal_leaves_nothing_behind(titan: Titan, client: Redis, valkey_url: str, group: str) -> None:
    """The progress bar of a check is erased at the end, also when it found something."""
    client.zadd(f"{group}:{{0}}:groups", {"g": 1})
    client.zadd(f"{group}:{{0}}:group:g:queued", {"0000000000000000": 1})
    shown = titan.on_terminal("check", "--redis-url", valkey_url, "--key-prefix", group)
    before, _, found = shown.rpartition("\x1b[K")
    assert before.splitlines()[-1] == "1 job checked" or before.endswith(" checked\r")
    assert found.startswith("GROUP")
    assert "checked" not in found
