"""The wire on servers that misbehave, and on a transport that counts."""

import asyncio
import time

import hiredis
import pytest
from redis.exceptions import ConnectionError as Away
from redis.exceptions import TimeoutError as TooLate

from broker.metrics.exposition import Histogram
from broker.resp.multiplexer import Multiplexer
from broker.resp.resp_connection import ConnectionLimits, RespConnection
from tests.unit.test_wire import outcome

LIMIT_S = 0.3
HANG_UP = None


class Server:
    """Answers PING as a store does, and each other command with what stands next in `lines`, or not at all."""

    def __init__(self, lines):
        self.lines = lines
        self.heard = []
        self.connections = 0

    async def talk(self, reader, writer):
        """One connection."""
        self.connections += 1
        words = hiredis.Reader()
        while data := await reader.read(65_536):
            words.feed(data)
            while (command := words.gets()) is not False:
                self.heard.append(command[0])
                answer = b"+PONG\r\n" if command == [b"PING"] else self.lines.pop(0) if self.lines else b""
                if answer is HANG_UP:
                    return
                writer.write(answer)


@pytest.fixture
async def wired(tmp_path):
    """`wired(talk)` gives a wire to a server that has this to say on each connection."""
    opened, talks = [], set()

    async def start(talk, timeout_s=5.0):
        async def whole(reader, writer):
            talks.add(asyncio.current_task())
            await talk(reader, writer)
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

        path = str(tmp_path / f"{len(opened)}.sock")
        opened.append(
            (await asyncio.start_unix_server(whole, path), Multiplexer(f"unix://{path}", timeout_s=timeout_s))
        )
        return opened[-1][1]

    yield start
    for listener, wire in opened:
        await wire.close()
        listener.close()
    await asyncio.gather(*talks)


@pytest.fixture
def scene(wired):
    """`scene(*lines)` gives a server that says these lines, and a wire to it."""

    async def start(*lines):
        server = Server(list(lines))
        return server, await wired(server.talk)

    return start


async def test_half_a_reply_and_a_close(scene):
    """A reply cut off by the end of the connection fails its call and those behind it; the next call starts fresh."""
    server, wire = await scene(b"$10\r\nhalf", HANG_UP, b"+whole\r\n")
    assert await asyncio.gather(outcome(wire.call("A")), outcome(wire.call("B"))) == [Away, Away]
    assert await wire.call("C") == b"whole"
    assert server.heard == [b"PING", b"A", b"B", b"PING", b"C"]
    assert server.connections == 2


async def test_nothing_is_sent_twice(scene):
    """What was in flight when the connection ended is never sent on the next one."""
    server, wire = await scene(HANG_UP, HANG_UP, b"+C\r\n")
    assert [await outcome(wire.call(word)) for word in "ABC"] == [Away, Away, b"C"]
    assert [word for word in server.heard if word != b"PING"] == [b"A", b"B", b"C"]


@pytest.mark.parametrize("line", [b"?what\r\n", b"*99999999999\r\n", b":abc\r\n", b"+A\r\n+unasked\r\n"])
async def test_nonsense_drops_the_connection(scene, line):
    """What is not the protocol, or answers nobody, ends the connection and reaches no other call."""
    server, wire = await scene(line, b"+B\r\n")
    assert await outcome(wire.call("A")) in {Away, b"A"}
    assert await outcome(wire.call("B")) in {Away, b"B"}
    assert await wire.call("PING") == b"PONG"
    assert server.connections == 2


@pytest.mark.parametrize("line", [b"-LOADING x", b"-READONLY x", b"-MASTERDOWN x", b"-ERR READONLY x"])
async def test_another_server_is_asked(scene, line):
    """An error that says this is not the server to ask is delivered, with all that came with it, before the drop."""
    server, wire = await scene(b"+A\r\n", line + b"\r\n", b"+C\r\n", b"+D\r\n")
    first, fault, third = await asyncio.gather(*(wire.call(word) for word in "ABC"), return_exceptions=True)
    assert (first, third) == (b"A", b"C")
    assert "x" in str(fault)
    assert await wire.call("D") == b"D"
    assert server.connections == 2


async def test_a_word_inside_an_error_is_not_a_fault_of_the_store(scene):
    """A refusal that merely quotes such a word leaves the connection."""
    server, wire = await scene(b"-INVALID name READONLY\r\n", b"+B\r\n")
    await asyncio.gather(wire.call("A"), return_exceptions=True)
    assert await wire.call("B") == b"B"
    assert server.connections == 1


async def test_a_reply_in_pieces(scene):
    """A reply may come byte by byte."""
    _, wire = await scene(b"$3\r\nab", b"c\r\n:7\r\n")
    assert await asyncio.gather(wire.call("A"), wire.call("B")) == [b"abc", 7]


async def test_a_store_that_never_greets(wired):
    """A server that takes the connection and says nothing is TimeoutError in time, for all who wait for it."""
    wire = await wired(lambda reader, _: reader.read(), LIMIT_S)
    began = time.monotonic()
    assert await asyncio.gather(*(outcome(wire.call("A")) for _ in range(3))) == [TooLate] * 3
    assert LIMIT_S - 0.01 <= time.monotonic() - began < LIMIT_S + 0.2  # uvloop counts in ms


async def test_a_store_that_is_loading(wired):
    """Calls fail while the store loads its file, and attempts are spaced out."""
    asked = []

    async def loading(reader, writer):
        asked.append(time.monotonic())
        await reader.read(100)
        writer.write(b"-LOADING Redis is loading the dataset in memory\r\n")
        await reader.read()

    wire = await wired(loading, 1)
    began = time.monotonic()
    while time.monotonic() - began < 0.6:
        assert await outcome(wire.call("A")) is Away
    assert 3 <= len(asked) <= 12


class Transport(asyncio.Transport):
    """Counts writes, and answers nothing."""

    def __init__(self):
        super().__init__()
        self.writes = []

    def write(self, data):
        self.writes.append(bytes(data))

    def abort(self):
        """Nothing to end."""


@pytest.fixture
async def link():
    """An open link on a counting transport."""
    made = RespConnection(ConnectionLimits(5, 1000, 10_000), lambda *_: None, Histogram())
    made.connection_made(Transport())
    opening = asyncio.ensure_future(made.open([("PING",)]))
    await asyncio.sleep(0)
    made.data_received(b"+PONG\r\n")
    await opening
    made._transport.writes.clear()
    yield made
    made.lose(Away, "the test has ended")


async def test_one_write_a_tick(link):
    """All commands of one loop iteration leave in one write, in order."""
    calls = [link.call(("ECHO", n)) for n in range(100)]
    assert link._transport.writes == []
    await asyncio.sleep(0)
    [write] = link._transport.writes
    assert write == b"".join(hiredis.pack_command(("ECHO", n)) for n in range(100))
    link.data_received(b"".join(b":%d\r\n" % n for n in range(100)))
    assert [call.result() for call in calls] == list(range(100))
    calls.append(link.call(("ECHO", "next")))
    await asyncio.sleep(0)
    assert len(link._transport.writes) == 2
    calls[-1].cancel()


async def test_a_store_that_does_not_read(link):
    """Commands stay here while the transport's buffer is full, within the bounds, and leave in one write after."""
    link.pause_writing()
    calls = [link.call((b"x" * 900,)) for _ in range(11)]
    await asyncio.sleep(0)
    assert link._transport.writes == []
    assert [type(call.exception()) for call in calls if call.done()] == [Away]
    link.resume_writing()
    assert len(link._transport.writes) == 1
    [call.cancel() for call in calls]


async def test_calls_cancelled_before_the_connection_are_not_sent():
    """Who left while the store was away is not called for."""
    link = RespConnection(ConnectionLimits(5, 1000, 10_000), lambda *_: None, Histogram())
    calls = [link.call(("ECHO", n)) for n in range(4)]
    calls[1].cancel()
    calls[2].cancel()
    link.connection_made(Transport())
    opening = asyncio.ensure_future(link.open([("PING",)]))
    await asyncio.sleep(0)
    link.data_received(b"+PONG\r\n")
    await opening
    ping, sent = link._transport.writes
    assert ping == hiredis.pack_command(("PING",))
    assert sent == hiredis.pack_command(("ECHO", 0)) + hiredis.pack_command(("ECHO", 3))
    link.data_received(b":0\r\n:3\r\n")
    assert await asyncio.gather(calls[0], calls[3]) == [0, 3]
