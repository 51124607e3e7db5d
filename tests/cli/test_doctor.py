"""`titan doctor` and `titan check`, with real stores."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from broker.cli.doctor_broker import spread_line
from broker.resp import keys
from tests.cli.live import Titan

ABOUT = ["version", "persistence", "eviction", "memory", "clock", "layout", "partitions", "reaper", "settlement"]


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


@pytest.mark.slow
def test_doctor_on_a_terminal_cuts_no_advice(titan: Titan, valkey_url: str) -> None:
    """Below the table, what is not ok is text in lines that fit the terminal."""
    [advice] = [
        line["advice"]
        for line in titan("doctor", "--redis-url", valkey_url, "--json").json["lines"]
        if line["about"] == "persistence"
    ]
    shown = titan.on_terminal("doctor", "--redis-url", valkey_url)
    assert advice in " ".join(shown.split())
    assert "WHAT TO DO" not in shown, "a column of advice leaves less room for what was found"
    assert max(map(len, shown.partition("\r\n\r\n")[2].splitlines())) <= 80


@pytest.mark.parametrize(
    ("spread_s", "state", "words"),
    [(1.0, "ok", "answers arrive as they are sent; no proxy"), (0.1, "wrong", "a proxy holds answers back")],
)
def test_doctor_of_a_proxy(spread_s: float, state: str, words: str) -> None:
    """The line says in words whether a proxy holds answers back."""
    line = spread_line("answers of http://x", spread_s)
    assert (line.state, line.found.partition(" (")[0][: len(words)]) == (state, words)


@pytest.mark.slow
@pytest.mark.parametrize("named_by", ["variable", "context"])
def test_doctor_where_no_store_is(titan: Titan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named_by: str) -> None:
    """It checks the broker that other commands call, and names it; with a store it checks the store alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    environment = {} if named_by == "variable" else {"TITAN_BROKER_URL": ""}
    if named_by == "context":
        assert titan("doctor", **environment).err.startswith("Error: There is no store in titan-data")
        titan("context", "add", "here", "--broker-url", titan.broker_url, **environment)
    shown = titan("doctor", "--json", **environment)
    assert shown.err == f"No store is named or found here, so the broker is checked: {titan.broker_url}\n"
    assert (shown.code, [line["about"] for line in shown.json["lines"]]) == (0, [f"answers of {titan.broker_url}"])
    lines = titan("doctor", "--data-dir", str(tmp_path), "--json", **environment).json["lines"]
    assert [line["about"] for line in lines] == ABOUT


def test_doctor_json(titan: Titan, valkey_url: str) -> None:
    """With --json, the same lines for programs."""
    lines = titan("doctor", "--redis-url", valkey_url, "--json").json["lines"]
    assert [line["about"] for line in lines] == ABOUT
    assert lines[1]["state"] == "wrong"


def test_doctor_late_reaper(titan: Titan, client: Redis, valkey_url: str, group: str) -> None:
    """A timer that nobody looks at is found, in whichever partition it is."""
    client.zadd(f"{group}:{{1}}:due", {"delayed:g": time.time() * 1000 - 60_000})
    report = titan("doctor", "--redis-url", valkey_url, "--key-prefix", group, "--partitions", "2", "--json").json
    line = report["lines"][-2]
    assert (line["about"], line["state"]) == ("reaper", "wrong")
    assert "60." in line["found"]


def test_doctor_late_settlement(titan: Titan, client: Redis, valkey_url: str, group: str) -> None:
    """An end of a job that nobody settles is found, in whichever partition it is."""
    client.zadd(f"{group}:{{1}}:settle", {"0" * 16: time.time() * 1000 - 60_000})
    report = titan("doctor", "--redis-url", valkey_url, "--key-prefix", group, "--partitions", "2", "--json").json
    line = report["lines"][-1]
    assert (line["about"], line["state"]) == ("settlement", "wrong")
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
    client.mset({f"{group}:format": 1, f"{group}:partitions": 1})
    client.zadd(f"{group}:{{0}}:groups", {"g": 1})
    client.hset(f"{group}:{{0}}:group:g", "created_at", 1)
    for name in ("jobs", "queued"):
        client.zadd(f"{group}:{{0}}:group:g:{name}", {"0000000000000000": 1})
    shown = titan("check", *where)
    assert shown.code == 1
    assert "0000000000000000" in shown.out
    assert titan("check", *where, "--repair").code == 1
    assert titan("check", *where).code == 0


def test_check_counts_what_it_repaired(titan: Titan, client: Redis, valkey_url: str, group: str) -> None:
    """What could not be repaired is not said to be; each finding says whether it was."""
    where = ("--redis-url", valkey_url, "--key-prefix", group)
    client.mset({f"{group}:format": 1, f"{group}:partitions": 1})
    client.zadd(f"{group}:{{0}}:group:g:queued", {"0000000000000000": 1})
    client.hset(f"{group}:{{0}}:jobs", "1111111111111111", "nonsense")
    shown = titan("check", *where, "--repair")
    assert "3 findings, 2 repaired" in shown.err
    assert [line.split()[-1] for line in shown.out.splitlines() if "1111111111111111" in line] == ["no"]
    assert [row.get("repaired") for row in titan("check", *where, "--repair", "--json").json["findings"]] == [None]
    client.delete(f"{group}:{{0}}:jobs")


@pytest.mark.parametrize("command", ["check", "export"])
def test_wrong_number_of_partitions(titan: Titan, client: Redis, valkey_url: str, group: str, command: str) -> None:
    """A number that is not the store's is refused with the right one; without it the store's own is taken."""
    where = ("--redis-url", valkey_url, "--key-prefix", group)
    client.mset({f"{group}:format": 1, f"{group}:partitions": 4})
    shown = titan(command, *where, "--partitions", "3")
    assert (shown.code, shown.out) == (1, "")
    assert "set up with 4 partitions, not 3: leave --partitions out" in shown.err
    assert titan(command, *where).code == 0
    client.delete(f"{group}:format", f"{group}:partitions")


def test_check_takes_the_number_of_partitions_from_the_store(
    titan: Titan, client: Redis, valkey_url: str, group: str
) -> None:
    """What is damaged in a further partition is found without --partitions; --group and --partition narrow it down."""
    where = ("--redis-url", valkey_url, "--key-prefix", group)
    name = next(f"g{n}" for n in range(99) if keys.partition_of(f"g{n}", 4) == 3)
    client.mset({f"{group}:format": 1, f"{group}:partitions": 4})
    client.zadd(f"{group}:{{3}}:group:{name}:queued", {"0000000000000000": 1})
    for scope in ((), ("--group", name), ("--partition", "3")):
        assert "0000000000000000" in titan("check", *where, *scope).out
    for scope in (("--group", "mail"), ("--partition", "0", "--partition", "1")):
        assert titan("check", *where, *scope).code == 0
    assert "--partition 4: the store has 0 to 3" in titan("check", *where, "--partition", "4").err
    assert titan("check", *where, "--partition", "3", "--group", name).code == 2
    assert titan("check", *where, "--group", "no such name!").code == 2
    client.delete(f"{group}:format", f"{group}:partitions", f"{group}:{{3}}:group:{name}:queued")


@pytest.mark.slow
def test_check_on_a_terminal_leaves_nothing_behind(titan: Titan, client: Redis, valkey_url: str, group: str) -> None:
    """The progress bar of a check is erased at the end, also when it found something."""
    client.mset({f"{group}:format": 1, f"{group}:partitions": 1})
    client.zadd(f"{group}:{{0}}:groups", {"g": 1})
    client.hset(f"{group}:{{0}}:jobs", "0000000000000000", 'g 1 {"image":"x"}')
    for name in ("jobs", "queued"):
        client.zadd(f"{group}:{{0}}:group:g:{name}", {"0000000000000000": 1})
    shown = titan.on_terminal("check", "--redis-url", valkey_url, "--key-prefix", group)
    assert "Checking" in shown
    assert "100%" in shown
    rest = re.sub(r"\x1b\[[0-9;?]*[a-z]", "", shown.rpartition("100%")[2])
    assert rest.lstrip("\r\n").startswith("GROUP")
