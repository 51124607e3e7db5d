"""The wire on real servers: order, reconnecting, deadlines, addresses. Hostile servers are in test_wire_hostile."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import time
import urllib.parse

import pytest
from redis.exceptions import ConnectionError as Away
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as TooLate

from broker.resp.multiplexer import Multiplexer
from tests.conftest import server_program, start_server
from tests.unit.conftest import free_port

LIMIT_S = 0.3
MIB = 1024 * 1024


@pytest.fixture
async def on():
    """Makes wires to an address; all are closed afterwards."""
    wires = []

    def wire_to(url, timeout_s=5.0, **options):
        wires.append(Multiplexer(url, timeout_s=timeout_s, **options))
        return wires[-1]

    yield wire_to
    for wire in wires:
        await wire.close()


@pytest.fixture(params=["valkey", "redis"])
def url(request):
    """A server of each kind."""
    return request.getfixturevalue(f"{request.param}_url")


async def outcome(call):
    """The reply, or the class of the fault."""
    try:
        return await call
    except (Away, TooLate, ResponseError) as fault:
        return type(fault)


async def until_answered(wire, limit_s=5):
    """Call until the store answers; the faults on the way."""
    faults = []
    async with asyncio.timeout(limit_s):
        while (reply := await outcome(wire.call("PING"))) != b"PONG":
            faults.append(reply)
    return faults


async def test_replies_go_to_their_calls(on, url):
    """Thousands of concurrent calls, some of them cancelled at some time, each get their own reply."""
    wire, dice = on(url), random.Random(7)
    calls = []

    async def some(first):
        for n in range(first, first + 250):
            call = wire.call("ECHO", n)
            calls.append((n, call))
            if dice.random() < 0.2:
                call.cancel()
            if dice.random() < 0.1:
                await asyncio.sleep(0)
            if dice.random() < 0.1:
                dice.choice(calls)[1].cancel()

    await asyncio.gather(*(some(first) for first in range(0, 5000, 250)))
    await asyncio.wait([call for _, call in calls])
    answered = [(n, call.result()) for n, call in calls if not call.cancelled()]
    assert len(answered) > 2000
    assert all(reply == b"%d" % n for n, reply in answered)
    assert await wire.call("ECHO", "last") == b"last"


async def test_words_and_replies(on, url):
    """Words are bytes, str or int; replies are bytes, int, None and lists."""
    wire, key = on(url), os.urandom(8)
    assert await wire.call("SET", key, "ä") == b"OK"
    assert await wire.call("STRLEN", key) == 2
    assert await wire.call("MGET", key, b"none\r\n", 7) == ["ä".encode(), None, None]
    assert await wire.call("DEL", key) == 1


async def test_errors(on, url):
    """An error is raised by redis-py's class; inside a list it stays in its place; the connection stays."""
    wire = on(url)
    me = await wire.call("CLIENT", "ID")
    with pytest.raises(NoScriptError):
        await wire.call("EVALSHA", "0" * 40, 0)
    with pytest.raises(ResponseError, match=r"^WRONG_STATE running 17"):
        await wire.call("EVAL", "return redis.error_reply('WRONG_STATE running 17')", 0)
    nested = await wire.call("EVAL", "return {1, redis.error_reply('ODD one'), {redis.error_reply('ODD two')}}", 0)
    assert nested[0] == 1
    assert [str(nested[1]), str(nested[2][0])] == ["ODD one", "ODD two"]
    assert await wire.call("CLIENT", "ID") == me


async def test_a_script_flush_is_told(on, own_server):
    """NOSCRIPT is raised to the keeper of the scripts; loaded again on the same wire, the script runs."""
    wire = on(own_server()[0])
    sha = await wire.call("SCRIPT", "LOAD", "return 'here'")
    await wire.call("SCRIPT", "FLUSH")
    calls = [wire.call("EVALSHA", sha, 0), wire.call("SCRIPT", "LOAD", "return 'here'"), wire.call("EVALSHA", sha, 0)]
    assert await asyncio.gather(*map(outcome, calls)) == [NoScriptError, sha, b"here"]


async def test_big_values(on, url):
    """A value of 64 MiB goes out and comes back between small ones."""
    wire = on(url, 30)
    value, key = os.urandom(MIB) * 64, os.urandom(8)
    calls = [wire.call("ECHO", "a"), wire.call("SET", key, value, "PX", 60_000), wire.call("GET", key)]
    calls += [wire.call("ECHO", "b"), wire.call("DEL", key)]
    small, kept, big, after, _ = await asyncio.gather(*calls)
    assert (small, kept, after) == (b"a", b"OK", b"b")
    assert big == value


async def test_too_much_in_flight(on, url):
    """Calls over the bounds fail at once and are not sent; there is room again once replies are in."""
    wire, key = on(url, max_in_flight=3, max_bytes=1000), os.urandom(8)
    replies = await asyncio.gather(*(outcome(wire.call("INCR", key)) for _ in range(5)))
    assert replies == [1, 2, 3, Away, Away]
    with pytest.raises(Away, match="too much in flight"):
        await wire.call("ECHO", b"x" * 1000)
    first, second = wire.call("ECHO", b"x" * 600), wire.call("ECHO", b"x" * 600)
    assert await asyncio.gather(outcome(first), outcome(second)) == [b"x" * 600, Away]
    assert await wire.call("INCR", key) == 4


async def test_a_killed_store_comes_back(on, tmp_path):
    """A kill -9 fails what is in flight as ConnectionError; once the store is back, so is the multiplexer."""
    program = server_program("valkey")
    url, server = start_server(program, tmp_path)
    wire = on(url, 1)
    assert await wire.call("PING") == b"PONG"
    blocked = wire.call("BLPOP", "none", 0)
    await asyncio.sleep(0)  # the tick's end: the command leaves
    server.kill()
    server.wait()
    assert await outcome(blocked) is Away
    began = time.monotonic()
    assert await outcome(wire.call("PING")) is Away
    assert time.monotonic() - began < 1
    (tmp_path / "store.sock").unlink()
    _, server = start_server(program, tmp_path)
    began = time.monotonic()
    assert set(await until_answered(wire)) <= {Away}
    assert time.monotonic() - began < 1
    server.kill()
    server.wait()


async def test_a_frozen_store_is_given_up_in_time(on, own_server):
    """Calls to a hanging store fail as TimeoutError in time, are sent once, and their replies go to nobody else."""
    url, server = own_server()
    wire = on(url, LIMIT_S)
    await wire.call("PING")
    os.kill(server.pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        frozen = await asyncio.gather(*(outcome(wire.call("INCR", "n")) for _ in range(10)))
        took_s = time.monotonic() - began
        assert await outcome(wire.call("ECHO", "while frozen")) is TooLate
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert frozen == [TooLate] * 10
    assert LIMIT_S - 0.01 <= took_s < LIMIT_S + 0.2  # uvloop counts in ms
    assert set(await until_answered(wire)) <= {TooLate, Away}
    assert [await wire.call("ECHO", n) for n in range(20)] == [b"%d" % n for n in range(20)]
    assert await wire.call("GET", "n") in {None, b"10"}  # None: dropped before the store had read it


async def test_one_slow_call_fails_its_neighbours(on, own_server):
    """The first overdue call drops the connection, and those behind it fail as TimeoutError, their outcome unknown."""
    wire = on(own_server()[0], LIMIT_S)
    calls = [wire.call("BLPOP", "none", 0), wire.call("PING")]
    assert await asyncio.gather(*map(outcome, calls)) == [TooLate, TooLate]
    assert await wire.call("PING") == b"PONG"


async def test_a_loop_that_was_held_up_does_not_blame_the_store(on, own_server):
    """Replies that came while this process was busy for longer than the time limit are read, not given up."""
    wire = on(own_server()[0], LIMIT_S)
    me = await wire.call("CLIENT", "ID")
    call = wire.call("ECHO", "x")
    await asyncio.sleep(0)  # the tick's end: the command leaves
    time.sleep(LIMIT_S * 2)  # noqa: ASYNC251 - the very fault
    assert await call == b"x"
    assert await wire.call("CLIENT", "ID") == me


async def test_nobody_listens(on):
    """Calls fail together, at once, when the connection is refused."""
    wire = on(f"redis://127.0.0.1:{free_port()}")
    began = time.monotonic()
    assert await asyncio.gather(*(outcome(wire.call("PING")) for _ in range(3))) == [Away] * 3
    assert time.monotonic() - began < 1


async def test_a_replica_is_left(on, own_server):
    """READONLY is delivered, and the next call asks again where to go."""
    (old, _), (new, _) = own_server(), own_server()
    places = [old.removeprefix("unix://"), new.removeprefix("unix://")]

    async def resolve():
        return places.pop(0)

    wire = on("redis://nowhere", resolve=resolve)
    await wire.call("REPLICAOF", "127.0.0.1", free_port())
    replies = await asyncio.gather(*(outcome(wire.call("SET", "k", n)) for n in range(3)))
    assert [kind.__name__ for kind in replies] == ["ReadOnlyError"] * 3
    assert await wire.call("SET", "k", "v") == b"OK"
    assert places == []


async def test_password_database_and_name(on, own_server):
    """The URL's user, password, database and client name are said before any call; the wrong ones fail all calls."""
    url, _ = own_server("--requirepass", "p w/d")
    word = urllib.parse.quote("p w/d", safe="")
    path = url.removeprefix("unix://")
    wire = on(f"unix://:{word}@{path}?db=3&client_name=titan")
    listed = await wire.call("CLIENT", "LIST", "ID", await wire.call("CLIENT", "ID"))
    assert b" name=titan " in listed
    assert b" db=3 " in listed
    await wire.call("ACL", "SETUSER", "poor", "on", ">word", "+echo", "~*")
    assert await on(f"unix://poor:word@{path}").call("ECHO", "x") == b"x"
    for bad in [f"unix://:wrong@{path}", url, f"unix://:{word}@{path}?db=99"]:
        assert await outcome(on(bad).call("PING")) is Away


async def test_tls(on, tmp_path):
    """An address with rediss:// is TLS, checked against the URL's authority; without it the certificate is refused."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    await asyncio.to_thread(subprocess.run, made, check=True, capture_output=True)
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key)]
    _, server = start_server(server_program("redis"), tmp_path, *options, "--tls-auth-clients", "no")
    try:
        wire = on(f"rediss://127.0.0.1:{port}?ssl_ca_certs={cert}")
        value = os.urandom(MIB)
        calls = [wire.call("ECHO", value), *(wire.call("ECHO", n) for n in range(1000))]
        assert await asyncio.gather(*calls) == [value, *(b"%d" % n for n in range(1000))]
        with pytest.raises(Away, match="CERTIFICATE_VERIFY_FAILED"):
            await on(f"rediss://127.0.0.1:{port}").call("PING")
        assert await on(f"rediss://127.0.0.1:{port}?ssl_cert_reqs=none").call("PING") == b"PONG"
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("url", ["http://here", "redis://here?foo=1", "rediss://here?ssl_ca_certs=/none", "unix://"])
async def test_an_address_that_cannot_be_read(url):
    """A URL that redis-py would not take is refused before anything is sent."""
    with pytest.raises(ValueError, match=r"."):
        Multiplexer(url, timeout_s=1)


async def test_close(on, valkey_url):
    """Calls in flight and later ones fail at once when the wire is closed, connected or not."""
    wire = on(valkey_url)
    await wire.call("PING")
    blocked = wire.call("BLPOP", "none", 0)
    await wire.close()
    unopened = on(valkey_url)
    waiting = unopened.call("PING")
    await unopened.close()
    late = [wire.call("PING"), unopened.call("PING")]
    assert await asyncio.gather(*map(outcome, [blocked, waiting, *late])) == [Away] * 4
    await wire.close()
