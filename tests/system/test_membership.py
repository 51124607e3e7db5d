"""Brokers of one store know each other, and leave a store that has become another one."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from redis import Redis

from broker.models.jobs import NewJob
from broker.resp.marks import WRITES
from tests.conftest import eventually
from tests.layouts.scene import call
from tests.system.conftest import Program
from worker.client import Client

pytestmark = pytest.mark.slow

Titan = Callable[..., Program]
Broker = Callable[..., tuple[Program, str]]
NEXT = WRITES[-1] + 1
NEWER = f"""
import sys
from broker.resp import marks
marks.READS = marks.WRITES = ({WRITES[-1]}, {NEXT})
from broker.cli import main
main(sys.argv[1:])
"""
"""A build that also knows the next layout, which has the keys of the present one."""


@contextmanager
def store_of(folder: Path) -> Iterator[Redis]:
    """A client of the embedded store in the folder."""
    [socket] = folder.glob("**/valkey.sock")
    with Redis(unix_socket_path=str(socket)) as redis:
        yield redis


@pytest.fixture
def newer(folder: Path) -> Iterator[Callable[..., tuple[Program, str]]]:
    """Starts a broker of the newer build in the folder."""
    programs: list[Program] = []

    def start(*words: str) -> tuple[Program, str]:
        program = Program("broker", "--port", "0", *words, folder=folder, start=(sys.executable, "-c", NEWER))
        programs.append(program)
        return program, program.says(r"serves on (http://\S+);")[1]

    yield start
    for program in programs:
        program.end()


def names(url: str) -> list[str]:
    """The addresses of the brokers that the broker there lists."""
    return [broker["address"] for broker in call(url, "GET", "/brokers")["brokers"]]


async def test_list_brokers(broker: Broker, titan: Titan) -> None:
    """Each broker is listed with its version, layouts and address until it stops."""
    first, url = broker()
    _, other = broker()
    await eventually(lambda: sorted(names(url)) == sorted([url, other]))
    listed = call(url, "GET", "/brokers")
    assert listed["layout"] == WRITES[-1]
    assert [broker["writes"] for broker in listed["brokers"]] == [list(WRITES)] * 2
    shown = titan("broker", "list", "--broker-url", url)
    shown.says(rf"{other} .*ago")
    assert first.stop() == 0
    await eventually(lambda: names(other) == [other])


async def test_a_broker_leaves_a_store_of_another_layout(broker: Broker, valkey_url: str) -> None:
    """When the number changes under a broker, it touches nothing more, says why and ends with 1."""
    program, url = broker("--redis-url", valkey_url, "--key-prefix", "leaves")
    async with Client(url) as client:
        await client.enqueue("g", [NewJob(image="i")])
    with Redis.from_url(valkey_url) as redis:
        redis.set("leaves:format", NEXT)
        program.says(rf"ERROR .*layout {NEXT}.*nothing was touched")
        assert program.wait() == 1
        assert redis.zcard("leaves:{0}:group:g:queued") == 1
        assert redis.get("leaves:format") == str(NEXT).encode()


@pytest.mark.parametrize("words", [("broker", "--port", "0"), ("check",), ("check", "--repair"), ("migrate",)])
async def test_commands_refuse_another_layout(broker: Broker, titan: Titan, folder: Path, words: tuple[str]) -> None:
    """No command works on a layout that it does not know; each says so in one line."""
    program, url = broker()
    call(url, "POST", "/groups/g/jobs", {"jobs": [{"image": "i"}]})
    with store_of(folder) as redis:
        redis.set("titan:format", NEXT)
        assert program.wait() == 1
    refused = titan(*words, "--data-dir", str(folder / "titan-data"))
    refused.says(rf"Error: .*layout {NEXT}.*nothing was touched.*newer")
    assert refused.wait() == 1


async def test_an_emptied_store_gets_its_number_again(broker: Broker, folder: Path) -> None:
    """After FLUSHALL a broker goes on, and the store has its numbers again, so that the next broker can start."""
    program, url = broker()
    with store_of(folder) as redis:
        redis.flushall()
        program.says("WARNING .*was emptied")
        assert redis.get("titan:format") == str(WRITES[-1]).encode()
    _, other = broker()
    for address in (url, other):
        call(address, "POST", "/groups/g/jobs", {"jobs": [{"image": "i"}]})


async def test_two_builds_under_load(broker: Broker, newer: Broker, titan: Titan, folder: Path) -> None:
    """Beside an older broker a newer one keeps the older layout; once that is gone, the number rises for good.

    No job that was acknowledged by either of them is lost.
    """
    older, old_url = broker()
    _, new_url = newer()
    made = 0
    async with Client(old_url) as old, Client(new_url) as new:
        for _ in range(50):
            for client in (old, new):
                made += len(await client.enqueue("g", [NewJob(image="i")] * 5))
                jobs = await client.next(3, groups=["g"])
                other = new if client is old else old
                for job in jobs:
                    await other.succeed("g", job.id, job.lease)
        with store_of(folder) as redis:
            assert redis.get("titan:format") == str(WRITES[-1]).encode()
            assert older.stop() == 0
            await eventually(lambda: redis.get("titan:format") == str(NEXT).encode(), 20)
        counts = (await new.group("g")).counts
        assert sum(msgspec.structs.astuple(counts)) == made
        assert len(await new.enqueue("g", [NewJob(image="i")])) == 1
    refused = titan("broker", "--port", "0")
    refused.says(rf"Error: .*layout {NEXT}")
    assert refused.wait() == 1


async def test_an_older_build_beside_a_risen_layout(broker: Broker, newer: Broker, folder: Path) -> None:
    """When the number rises while an older broker runs, that one leaves and the newer one serves on."""
    older, _ = broker()
    _, new_url = newer()
    with store_of(folder) as redis:
        redis.set("titan:format", NEXT)
    older.says("ERROR .*leaving the store")
    assert older.wait() == 1
    call(new_url, "POST", "/groups/g/jobs", {"jobs": [{"image": "i"}]})
