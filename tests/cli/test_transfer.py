"""`titan export` and `titan import`, on a real store: a prefix is one store, another prefix another."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from redis import Redis

from broker.cli.import_calls import ImportCalls
from broker.core.errors import Invalid
from broker.resp.keys import partition_of
from broker.store.format.exported import ExportedJob, Line
from tests.cli.live import Ran, Titan

Where = tuple[str, ...]


@pytest.fixture
def client(valkey_url: str) -> Iterator[Redis]:
    """A client of the store's server."""
    with Redis.from_url(valkey_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def old(client: Redis, valkey_url: str, group: str) -> Iterator[Where]:
    """Options that name a store with a few jobs."""
    store = ("--redis-url", valkey_url, "--key-prefix", group)
    fill(client, group, 7)
    yield store
    client.delete(*client.keys(f"{group}*"))


@pytest.fixture
def new(client: Redis, valkey_url: str, group: str) -> Iterator[Where]:
    """Options that name an empty store."""
    yield ("--redis-url", valkey_url, "--key-prefix", f"to-{group}")
    client.delete(*client.keys(f"to-{group}*"), "none")


def fill(client: Redis, prefix: str, n: int, group: str = "mail") -> None:
    """Queued jobs, as an enqueue makes them."""
    p = f"{prefix}:{{0}}"
    client.mset({f"{prefix}:format": 1, f"{prefix}:partitions": 1})
    client.zadd(f"{p}:groups", {group: 1000})
    for number in range(n):
        job_id, rank = f"{group}{number:0{16 - len(group)}}", 2**52 + number + 1
        client.hset(f"{p}:jobs", job_id, f'{group} {1000 + number} {{"image":"x","payload":"\\n{number}"}}')
        client.zadd(f"{p}:group:{group}:jobs", {job_id: 1000 + number})
        client.zadd(f"{p}:group:{group}:queued", {job_id: rank})
    client.zadd(f"{p}:ready", {group: 2**52 + 1})
    client.set(f"{p}:sequence", n)


def digest(titan: Titan, where: Where) -> str:
    """The digest of a store."""
    return str(titan("export", *where, "--digest", "--json").json["digest"])


def refused(ran: Ran) -> str:
    """What a command that did nothing says."""
    assert ran.code in {1, 2}, ran
    assert ran.out == ""
    assert len(ran.err.splitlines()) <= 4
    return ran.err


@pytest.fixture
def file(titan: Titan, old: Where, tmp_path: Path) -> Path:
    """A whole export."""
    path = tmp_path / "titan.ndjson"
    ran = titan("export", *old, "--output", str(path))
    assert ran.code == 0, ran.err
    return path


def batch_line(group: str, of: str, **fields: str) -> str:
    """A batch that waits for its members, with a callback of another group."""
    spec = f'{of} {"1" * 16} 0 - - {{"image":"x"}}'
    more = {"open": "1", "total": "0", "on_over": spec, **fields}
    return json.dumps({"batch": {"id": "0" * 16, "group": group, "created_at": 1000, "fields": more}})


def test_import_of_a_callback_in_another_partition(titan: Titan, new: Where, file: Path) -> None:
    """It is refused with the names of batch and group, unless it exists already; one in the same partition comes in."""
    near, far = (next(n for n in map(str, range(99)) if partition_of(n, 4) == at) for at in (0, 1))
    begin = file.read_text("utf-8").splitlines()[0]
    command = ("import", str(file), *new, "--partitions", "4", "--incomplete")
    file.write_text(f"{begin}\n{batch_line(near, far)}\n", "utf-8")
    text = refused(titan(*command))
    assert f"on_over of the batch {'0' * 16} is a job of the group {far}, which is in another partition" in text
    file.write_text(f"{begin}\n{batch_line(near, far, made_on_over='1' * 16)}\n", "utf-8")
    ran = titan(*command)
    assert (ran.code, ran.out.splitlines()[0]) == (0, "0 groups, 1 batch and 0 jobs imported.")


def test_export_and_import(titan: Titan, old: Where, new: Where, file: Path) -> None:
    """All jobs come into the other store, with more partitions; both have the digest that the commands print."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [next(iter(line)) for line in lines] == ["export", "group", *["job"] * 7, "end"]
    ran = titan("import", str(file), *new, "--partitions", "4", "--verify")
    assert ran.code == 0, ran.err
    assert "1 group and 7 jobs imported" in ran.out
    assert digest(titan, old) == digest(titan, new) == lines[-1]["end"]["digest"]
    assert lines[-1]["end"]["digest"] in ran.out
    assert titan("check", *new).code == 0
    assert titan("check", *new, "--partitions", "1").code == 1


def test_import_again(titan: Titan, new: Where, file: Path) -> None:
    """A second run of the same file changes nothing, and needs no --merge."""
    titan("import", str(file), *new)
    before = digest(titan, new)
    again = titan("import", str(file), *new, "--json")
    assert (again.code, again.json["jobs"], again.json["present"], again.json["groups"]) == (0, 0, 7, 0)
    assert digest(titan, new) == before


def test_export_to_stdout_and_import_of_stdin(titan: Titan, old: Where, new: Where) -> None:
    """A pipe moves a store without a file; what people read of it is on stderr."""
    with titan.process("export", *old) as source, titan.process("import", "-", *new, stdin=source.stdout) as sink:
        out, err = sink.communicate(timeout=60)
        remarks = source.stderr.read().decode() if source.stderr else ""
    assert (source.returncode, sink.returncode) == (0, 0), err
    assert b"7 jobs imported" in out
    assert "7 jobs, digest" in remarks
    assert digest(titan, old) == digest(titan, new)


@pytest.mark.parametrize("cut", [1, 2, 40, 400, 1200])
def test_export_continues_where_it_was_cut_off(titan: Titan, old: Where, file: Path, tmp_path: Path, cut: int) -> None:
    """What an export that was killed has written is continued, also in the middle of a line; the end is the same."""
    whole, other = file.read_bytes(), tmp_path / "other.ndjson"
    part = tmp_path / "other.ndjson.part"
    part.write_bytes(whole[:-cut])
    ran = titan("export", *old, "--output", str(other))
    assert ran.code == 0, ran.err
    assert "Continuing" in ran.err
    assert other.read_bytes() == whole
    assert not part.exists()


def test_export_begins_again(titan: Titan, old: Where, file: Path, tmp_path: Path) -> None:
    """--fresh does not look at what exists; a part of another store is refused."""
    part = tmp_path / "titan.ndjson.part"
    part.write_bytes(file.read_bytes()[:300].replace(b'"partitions":1', b'"partitions":2'))
    assert "was begun with another store" in refused(titan("export", *old, "--output", str(file)))
    assert titan("export", *old, "--output", str(file), "--fresh").code == 0
    part.write_bytes(b'{"export":')
    assert titan("export", *old, "--output", str(file)).code == 0
    assert not part.exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: lines[:-1], "has no end: it was cut off"),
        (lambda lines: [*lines[:3], *lines[4:]], "1 groups and 6 jobs, but was written with 1 groups and 7 jobs"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], "1 groups and 8 jobs"),
        (lambda lines: [*lines[:2], lines[2].replace(b'"x"', b'"y"'), *lines[3:]], "Lines were changed"),
        (lambda lines: [*lines, lines[2]], "line 11: There are lines behind the end"),
        (lambda lines: [*lines[:-1], lines[-1][:-9]], "line 10: The line is cut off"),
        (lambda lines: lines[1:], "line 1: This is no export of Titan"),
        (lambda lines: [lines[0], *lines], "line 2: A second export begins here"),
        (lambda lines: [lines[0].replace(b'"format":1', b'"format":2'), *lines[1:]], "has format 2"),
        (lambda lines: [lines[0].replace(b'"layout":1', b'"layout":9'), *lines[1:]], "with layout 9; .* use Titan 0"),
        (lambda lines: [*lines[:2], lines[2].replace(b'"score"', b'"scores"'), *lines[3:]], "line 3: .*scores"),
        (lambda _: [], "The file is empty"),
    ],
)
def test_import_of_a_damaged_file(titan: Titan, client: Redis, new: Where, file: Path, change, says: str) -> None:
    """A file of which something is lost, doubled or changed is refused before anything is written."""
    file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))
    assert re.search(says, refused(titan("import", str(file), *new)))
    assert not client.keys(f"{new[-1]}*")


def test_import_of_what_is_left_of_a_file(titan: Titan, new: Where, file: Path) -> None:
    """--incomplete takes what a file has."""
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:5]))
    assert "3 jobs imported" in titan("import", str(file), *new, "--incomplete").out


def test_import_of_a_pipe_that_was_cut_off(titan: Titan, new: Where, file: Path) -> None:
    """What came is imported, and the command says that it is not all."""
    ran = titan("import", "-", *new, stdin=b"".join(file.read_bytes().splitlines(keepends=True)[:5]))
    assert ran.code == 1
    assert "has no end" in ran.err
    assert "4 jobs imported" in titan("import", str(file), *new).out


def test_import_into_a_store_with_other_jobs(titan: Titan, client: Redis, new: Where, file: Path) -> None:
    """Other jobs are a reason to refuse, unless --merge says that they may mix; an id of both is always refused."""
    fill(client, new[-1], 2, "news")
    said = refused(titan("import", str(file), *new))
    assert "has 2 jobs that this import did not bring" in said
    assert "--merge" in said
    assert titan("import", str(file), *new, "--merge").code == 0
    assert titan("export", *new, "--digest", "--json").json["jobs"] == 9
    client.hset(f"{new[-1]}:{{0}}:jobs", "mail000000000003", 'mail 1003 {"image":"other"}')
    said = refused(titan("import", str(file), *new, "--merge"))
    assert "mail000000000003: Another job of the store has this id" in said
    assert "--merge" in refused(titan("import", str(file), *new, "--merge", "--verify"))


def test_import_into_a_store_of_another_layout(titan: Titan, client: Redis, new: Where, file: Path) -> None:
    """A store with a layout that this version does not know is refused untouched; an empty one gets the number."""
    client.mset({f"{new[-1]}:format": 9, f"{new[-1]}:partitions": 1})
    assert "has layout 9" in refused(titan("import", str(file), *new))
    assert sorted(client.keys(f"{new[-1]}*")) == [f"{new[-1]}:format", f"{new[-1]}:partitions"]
    client.delete(f"{new[-1]}:format", f"{new[-1]}:partitions")
    assert titan("import", str(file), *new).code == 0
    assert client.get(f"{new[-1]}:format") == "2"


def test_import_finds_that_the_store_is_not_what_the_file_is(
    titan: Titan, client: Redis, new: Where, file: Path
) -> None:
    """--verify reads the store, and says when a job of it is another."""
    titan("import", str(file), *new)
    client.zincrby(f"{new[-1]}:{{0}}:group:mail:queued", 100, "mail000000000003")
    assert "The store has 7 jobs and digest" in refused(titan("import", str(file), *new, "--verify"))


def test_transfer_while_a_broker_runs(titan: Titan, client: Redis, old: Where, new: Where, file: Path) -> None:
    """An import refuses a store that a broker has open, unless --live; an export says that its pages may differ."""
    for prefix in (old[-1], new[-1]):
        client.mset({f"{prefix}:format": 1, f"{prefix}:partitions": 1})
    with client.pubsub() as listening:
        listening.subscribe(f"{new[-1]}:{{0}}:timer", f"{old[-1]}:{{0}}:timer")
        assert listening.get_message(timeout=5)
        assert "A broker runs on the store" in refused(titan("import", str(file), *new))
        assert "A broker runs on this store" in titan("export", *old, "--digest").err
        assert titan("import", str(file), *new, "--live").code == 0
    assert titan("export", *old, "--digest").err == ""


def test_export_says_which_jobs_are_damaged(titan: Titan, client: Redis, old: Where, tmp_path: Path) -> None:
    """What cannot be exported is named, and the exit code is 1; the rest is whole."""
    client.hdel(f"{old[-1]}:{{0}}:jobs", "mail000000000003")
    ran = titan("export", *old, "--output", str(tmp_path / "file"))
    assert ran.code == 1
    assert "mail000000000003 of mail is damaged" in ran.err
    assert "6 jobs, digest" in ran.out
    assert "1 job damaged" in ran.out


def test_export_says_what_ran(titan: Titan, client: Redis, old: Where) -> None:
    """Jobs whose leases run are exported as queued, and that is said."""
    p = f"{old[-1]}:{{0}}"
    before = digest(titan, old)
    client.zrem(f"{p}:group:mail:queued", "mail000000000003")
    client.zadd(f"{p}:group:mail:running", {"mail000000000003": 10**13})
    client.hset(f"{p}:executions", "mail000000000003", f"token-{2**52 + 4} 1 5000")
    ran = titan("export", *old)
    assert "1 job runs; it is exported as queued" in ran.err
    assert '"execution":"1"' in ran.out
    assert f'"score":{2**52 + 4},' in ran.out
    assert digest(titan, old) != before  # it was delivered once


def test_export_without_a_place_to_write_to(titan: Titan, old: Where, tmp_path: Path) -> None:
    """A terminal is not filled with jobs; a file that cannot be written is one line."""
    assert "--output" in titan.on_terminal("export", *old)
    assert "cannot be written" in refused(titan("export", *old, "--output", str(tmp_path / "none" / "file")))
    assert "--digest" in refused(titan("export", *old, "--output", str(tmp_path / "file"), "--digest"))


@pytest.mark.slow
def test_export_and_import_show_how_far_they_are(titan: Titan, new: Where, old: Where, tmp_path: Path) -> None:
    """On a terminal each step has a bar."""
    assert "Exporting" in titan.on_terminal("export", *old, "--output", str(tmp_path / "file"))
    shown = titan.on_terminal("import", str(tmp_path / "file"), *new, "--verify")
    assert all(word in shown for word in ("Reading", "Importing", "Verifying", "100%"))


def test_import_into_a_full_store(titan: Titan, client: Redis, new: Where, file: Path) -> None:
    """A store without room is one line with the reason."""
    used = int(client.info("memory")["used_memory"])
    client.config_set("maxmemory", used // 2)
    try:
        said = refused(titan("import", str(file), *new))
    finally:
        client.config_set("maxmemory", 0)
    assert "maxmemory" in said


class _Partitions:
    """Each group is in a partition of its own."""

    def partition_of(self, group: str) -> str:
        """The partition of a group."""
        return group


async def test_import_of_a_flow_into_several_partitions() -> None:
    """Jobs of another partition would wait without end for a job: they are refused, and the message says what to do."""
    line = {"id": "0" * 16, "group": "a", "status": "queued", "score": 1, "created_at": 1, "spec": {"image": "x"}}
    given = msgspec.json.encode(line | {"fields": {"dependants": "a 1 0\nb 2 0"}})
    with pytest.raises(Invalid, match=r"Jobs of the group b wait for the job 0{16} of a, .*--partitions"):
        await ImportCalls(cast("Any", _Partitions())).add(b"", Line(job=msgspec.json.decode(given, type=ExportedJob)))


def test_the_order_of_all_groups_comes_along(titan: Titan, client: Redis, group: str, old: Where, new: Where) -> None:
    """An import into an empty store has the order of the export; with --merge it leaves that of the store."""
    client.hset(f"{group}:{{0}}:modes", "order", "fair")
    lines = titan("export", *old).out
    assert json.loads(lines.splitlines()[0])["export"]["order"] == "fair"
    assert titan("import", "-", *new, "--merge", stdin=lines).code == 0
    assert client.hgetall(f"to-{group}:{{0}}:modes") == {}
    assert titan("import", "-", *new, stdin=lines).code == 0
    assert client.hgetall(f"to-{group}:{{0}}:modes") == {"order": "fair"}
    client.hdel(f"{group}:{{0}}:modes", "order")
    assert "order" not in json.loads(titan("export", *old).out.splitlines()[0])["export"]
