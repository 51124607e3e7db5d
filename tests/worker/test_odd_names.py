"""Names and bytes that are odd: of the machine, in the environment, in what commands print and are called."""

import asyncio
import os
import platform
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from broker.models.jobs import NewJob
from broker.models.workers import Announcement, Receipt
from tests.worker.conftest import enqueue, read_log
from tests.worker.oddly import after, unshared
from tests.worker.programs import Start
from worker.client import Client
from worker.host import host_name, own_name

HOSTS = [b"my host", "h\N{LATIN SMALL LETTER O WITH DIAERESIS}st".encode(), b"h\xf6st", b"\x1b[2Jx", b"", b"x" * 64]


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    """The host name is read again in each test, and after it."""
    host_name.cache_clear()
    yield
    host_name.cache_clear()


@pytest.fixture
def odd_folder(tmp_path: Path) -> Path:
    """A folder whose name is not UTF-8."""
    folder = tmp_path / "\udcff"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", [*HOSTS, b"\xff" * 300, b"a/b\n"])
def test_a_default_name_always_fits(monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    """Whatever the host is called, the broker takes the worker's announcement and its receipts."""
    monkeypatch.setattr(platform, "node", lambda: os.fsdecode(name))
    said = msgspec.json.encode(Announcement(name=own_name(), host=host_name()))
    assert msgspec.json.decode(said, type=Announcement).name.endswith(f"-{os.getpid()}")
    left = msgspec.json.encode(Receipt(worker=own_name(), host=host_name()))
    assert msgspec.json.decode(left, type=Receipt).host == host_name()


def test_a_host_name_that_can_be_kept_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters of any script and spaces stay; only what the contract does not have is replaced."""
    umlaut = "h\N{LATIN SMALL LETTER O WITH DIAERESIS}st 1"
    monkeypatch.setattr(platform, "node", lambda: umlaut + "\udcff")
    assert host_name() == umlaut + "\N{REPLACEMENT CHARACTER}"
    assert own_name() == f"h-st-1--{os.getpid()}"


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTS[:4])
async def test_a_host_with_an_odd_name(client: Client, start: Start, name: bytes) -> None:
    """A worker there runs jobs, is on the list, and ends as asked."""
    named = (*unshared("--uts"), *after("socket.sethostname(bytes.fromhex(sys.argv[1]))", name.hex()))
    program = await start("--run", "hi=echo hi", before=named)
    (job,) = await enqueue(client, "hi")
    await program.says(f"job {job.id}: succeeded")
    async with asyncio.timeout(10):
        while len((await client.workers())[0]) != 1:
            await asyncio.sleep(0.05)
    program.signal(signal.SIGTERM)
    assert await program.end() == 0
    assert b"Traceback" not in program.log
    assert [receipt.host for receipt in (await client.show("g", job.id)).receipts or []] == [
        name.decode("utf-8", "replace").replace("\x1b", "\N{REPLACEMENT CHARACTER}")
    ]


@pytest.mark.slow
async def test_bytes_that_are_not_text_are_passed_through(client: Client, start: Start, odd_folder: Path) -> None:
    """Bytes in the worker's environment, in words of a command and in its output arrive to the letter."""
    table = odd_folder / "t\udcfe.toml"
    table.write_text('[process.file]\nargv = ["sh", "-c", "cat $TITAN_PAYLOAD_FILE"]\npayload = "file"\n')
    run = ("--run", os.fsdecode(b"env=sh -c 'printf %s \"$0$USER\"' \xfd"), "--config", str(table))
    program = await start(*run, USER=b"\xff\xfe", TMPDIR=os.fsencode(odd_folder))
    env, file = await client.enqueue("g", [NewJob(image="env"), NewJob(image="file", payload="here")])
    for job in (env, file):
        await program.says(f"job {job.id}: succeeded")
    program.signal(signal.SIGTERM)
    assert await program.end() == 0
    assert await read_log(client, env) == b"\xfd\xff\xfe"
    assert await read_log(client, file) == b"here"


@pytest.mark.slow
async def test_a_command_whose_name_is_not_text(client: Client, start: Start) -> None:
    """It cannot be started; the broker accepts the error text."""
    program = await start("--run", os.fsdecode(b"bad=/nowhere/\xff"))
    (job,) = await enqueue(client, "bad")
    await program.says(f"job {job.id}: failed")
    program.signal(signal.SIGTERM)
    assert await program.end() == 0
    shown = await client.show("g", job.id)
    assert shown.status == "failed"
    assert "No such file or directory" in (shown.error or "")


@pytest.mark.parametrize("words", [("--run", b"n\xff=cat"), ("--run", "a=cat", "--group", b"g\xff")])
async def test_a_name_that_is_not_text(start: Start, words: tuple[str | bytes, ...]) -> None:
    """A name that no job can have stops the start, in one line that names it."""
    program = await start(*(word if isinstance(word, str) else os.fsdecode(word) for word in words))
    assert await program.end() == 2
    assert b"is not UTF-8 text" in program.log
    assert b"Traceback" not in program.log
