"""Every route while the store is killed, loading, frozen, busy, full, read-only, cannot write, or loses answers."""

import asyncio
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry

from broker.http.routes import ROUTES
from broker.resp.script_source import SCRIPTS
from tests.conftest import server_program, write_through
from tests.system.conftest import Program
from tests.system.proxy import Proxy
from tests.system.walk import LOCAL, NEW, READS, Answer, walk

pytestmark = pytest.mark.slow
PROMISED_S, BACK_S, SLACK_S = 2.0, 1.0, 1.0
"""How fast a refusal and the recovery are promised; and what a machine with other work gets on top."""


class Server:
    """A store of the test's own, with an append-only file."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.socket = str(folder / "store.sock")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start it; returns when it takes connections, which may be before it answers."""
        Path(self.socket).unlink(missing_ok=True)
        place = ["--port", "0", "--unixsocket", self.socket, "--dir", str(self.folder), "--save", ""]
        # A slow disk must not stop it: it waits for none, and a kill loses nothing of what it has written.
        words = [self.program, *place, "--appendonly", "yes", "--appendfsync", "no", *options]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        while not Path(self.socket).exists():
            time.sleep(0.01)  # its socket is the only sign of it

    def kill(self) -> None:
        """Kill -9."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def client(self, timeout_s: float = 5) -> Redis:
        """A client of it that sends nothing twice."""
        return Redis(unix_socket_path=self.socket, socket_timeout=timeout_s, retry=Retry(NoBackoff(), 0))

    def answers(self) -> None:
        """Wait until it takes commands."""
        with self.client() as client:
            while True:
                with suppress(RedisError):
                    client.ping()
                    return
                time.sleep(0.005)  # it can only be asked


@pytest.fixture(params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The store, started."""
    server = Server(server_program(request.param), tmp_path_factory.mktemp("f"))
    server.start()
    server.answers()
    yield server
    server.kill()


Fault = Callable[[Server], AbstractContextManager[None]]


@contextmanager
def killed(server: Server) -> Iterator[None]:
    with server.client() as client:
        write_through(client)
    server.kill()
    yield
    server.start()
    server.answers()


@contextmanager
def loading(server: Server) -> Iterator[None]:
    with server.client() as client:
        pipeline = client.pipeline(transaction=False)
        for number in range(4000):
            pipeline.set(f"ballast:{number}", "x")
        pipeline.execute()
        client.bgrewriteaof()
        while client.info("persistence")["aof_base_size"] < 4000:
            time.sleep(0.01)  # the file is written beside it
        write_through(client)
    server.kill()
    server.start("--key-load-delay", "1500", "--loading-process-events-interval-bytes", "1024")
    with server.client() as client, pytest.raises(BusyLoadingError):
        client.get("x")
    yield
    server.answers()


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    server.signal(signal.SIGSTOP)
    yield
    server.signal(signal.SIGCONT)
    server.answers()


@contextmanager
def busy(server: Server) -> Iterator[None]:
    def occupy() -> None:
        with server.client(60) as client, suppress(RedisError):
            client.eval("while true do redis.call('PING') end", 0)

    with server.client() as client:
        client.config_set("busy-reply-threshold", 100)
        thread = threading.Thread(target=occupy)
        thread.start()
        time.sleep(0.3)  # until then it does not say that it is busy, but is
        yield
        client.script_kill()
        thread.join(10)
    server.answers()


@contextmanager
def cannot_write(server: Server) -> Iterator[None]:
    """MISCONF: its snapshot cannot be written, since a folder is in the way."""
    place = server.folder / "dump.rdb" / "in the way"
    place.mkdir(parents=True)
    with server.client() as client:
        client.config_set("save", "3600 1000000")
        client.bgsave()
        while client.info("persistence")["rdb_last_bgsave_status"] == "ok":
            time.sleep(0.01)
        yield
        client.config_set("stop-writes-on-bgsave-error", "no")


@contextmanager
def read_only(server: Server) -> Iterator[None]:
    with server.client() as client:
        client.replicaof("127.0.0.1", 1)
        yield
        client.replicaof("NO", "ONE")


@contextmanager
def cut_off(server: Server) -> Iterator[None]:
    """MASTERDOWN: a replica that has lost its primary and says nothing stale."""
    with server.client() as client:
        client.config_set("replica-serve-stale-data", "no")
        client.replicaof("127.0.0.1", 1)
        yield
        client.replicaof("NO", "ONE")


async def job_of(url: str) -> str:
    """A running job, so that every route has something to ask for."""
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/v1/groups/g/jobs", json={"jobs": [{"image": "x"}] * 5}) as made:
            assert made.status == 201
        schedule = {"schedule": {"every": 7200, "job": {"image": "x"}}}
        async with session.put(f"{url}/v1/groups/g/schedules/s", json=schedule) as made:
            assert made.status == 201
        async with session.get(f"{url}/v1/jobs") as taken:
            return str((await taken.json())["jobs"][0]["id"])


async def back_s(url: str) -> float:
    """How long until the broker is ready, in s."""
    began = time.monotonic()
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        while True:
            async with session.get(f"{url}/readyz") as answer:
                if answer.status == 200:
                    return time.monotonic() - began
            await asyncio.sleep(0.01)


def late(answers: list[Answer]) -> dict[str, float]:
    """The time in s of each answer that was not as fast as promised, and of a machine with other work."""
    return {answer.verb: answer.took_s for answer in answers if answer.took_s >= PROMISED_S + SLACK_S}


async def walk_in_trouble(url: str, job_id: str) -> list[Answer]:
    """The answers of all routes; asked again once where one was late, since a broker that is slow is so each time.

    A machine can stop a process for seconds. Then the broker's own record of its event loop says so, and is printed.
    """
    answers = await walk(url, job_id)
    if slow := late(answers):
        metrics = next(str(answer.body) for answer in answers if answer.verb == "metrics")
        lag = re.findall(r"titan_loop_lag_max_seconds \S+", metrics)
        print(f"late: {slow}; {lag}; asked again")
        answers = await walk(url, job_id)
    return answers


def assert_refused(answers: list[Answer], but: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Every route that needs the store answered 503 in time, with the error body and Retry-After."""
    assert {answer.verb: answer.status for answer in answers if answer.verb in LOCAL - {"metrics", "listen"}} == {
        "healthz": 200,
        "openapi": 200,
        "stream_check": 200,
    }
    for answer in answers:
        if answer.verb in {*LOCAL, *but, "doctor"}:  # it asks by redis-py, which asks again
            assert answer.status < 500 or answer.status == 503, answer
            continue
        assert (answer.status, answer.body.get("error", {}).get("code")) == (503, "store_unavailable"), answer
        assert answer.body["error"]["message"]
        assert int(str(answer.retry_after)) >= 1
    slowest = max(answers, key=lambda answer: answer.took_s)
    print(f"{len(answers)} routes, the slowest {slowest.verb} in {slowest.took_s:.2f} s")
    assert slowest.took_s < PROMISED_S + SLACK_S, late(answers)


async def walk_served(url: str, job_id: str, without: set[str] = frozenset()) -> list[Answer]:  # type: ignore[assignment]
    """The answers of all routes while the store serves; asked again once where it was late, as in `walk_in_trouble`."""
    answers = await walk(url, job_id, without=without)
    if slow := [answer.verb for answer in answers if answer.status == 503 and "TimeoutError" in str(answer.body)]:
        print(f"the store was late: {slow}; asked again")
        answers = await walk(url, job_id, without=without)
    return answers


async def faults_of(url: str, job_id: str) -> list[Answer]:
    """Answers of all routes that are faults. The log is read on its own: others replace and delete it meanwhile."""
    answers = [
        *await walk_served(url, job_id, without={route.verb for route in ROUTES} - {"read_log"}),
        *await walk_served(url, job_id, without={"read_log"}),
    ]
    return [answer for answer in answers if answer.status >= 500]


@pytest.mark.parametrize("fault", [killed, loading, frozen, busy, cannot_write, read_only, cut_off])
async def test_store_in_trouble(server: Server, broker: Callable[..., tuple[Program, str]], fault: Fault) -> None:
    """Each route is a 503 within 2 s, in which reads may go on where the store lets them; and back within 1 s of it."""
    _, url = broker("--redis-url", f"unix://{server.socket}")
    job_id = await job_of(url)
    with fault(server):
        assert_refused(await walk_in_trouble(url, job_id), READS if fault in {cannot_write, read_only} else set())
    took_s = await back_s(url)
    print(f"back after {took_s:.2f} s")
    assert took_s < BACK_S + SLACK_S
    assert await faults_of(url, job_id) == []


async def test_frozen_store_before_a_crowd(server: Server, broker: Callable[..., tuple[Program, str]]) -> None:
    """Many more clients than a broker works for at once are all told within 2 s, not one batch after the other.

    A crowd is asked again once where it was late, as `walk_in_trouble` does.
    """
    _, url = broker("--redis-url", f"unix://{server.socket}", "--max-in-progress", "10")
    await job_of(url)

    async def ask(session: aiohttp.ClientSession) -> tuple[int, float]:
        began = time.monotonic()
        async with session.post(f"{url}/v1/groups/g/jobs", json={"jobs": [{"image": "x"}]}) as told:
            return told.status, time.monotonic() - began

    async def slowest_s(session: aiohttp.ClientSession) -> float:
        with frozen(server):
            told = await asyncio.gather(*(ask(session) for _ in range(100)))
        assert {status for status, _ in told} == {503}
        assert await back_s(url) < BACK_S + SLACK_S
        print(f"the slowest of {len(told)} in {max(took for _, took in told):.2f} s")
        return max(took for _, took in told)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        limit_s = PROMISED_S + SLACK_S
        assert await slowest_s(session) < limit_s or await slowest_s(session) < limit_s
        status, _ = await ask(session)
        assert status == 201


async def test_full_store_serves_every_route_but_new_jobs(
    server: Server, broker: Callable[..., tuple[Program, str]]
) -> None:
    """Without memory new jobs are a 503 store_full with Retry-After, and everything else goes on."""
    _, url = broker("--redis-url", f"unix://{server.socket}")
    job_id = await job_of(url)
    with server.client() as client:
        client.config_set("maxmemory", 1)
        answers = await walk_served(url, job_id)
        client.config_set("maxmemory", 0)
    full = {answer.verb: answer for answer in answers if answer.status == 503}
    assert "enqueue" in full
    assert full.keys() <= NEW | {"announce", "order"}
    assert all(answer.body["error"]["code"] == "store_full" and answer.retry_after for answer in full.values())
    assert not [answer for answer in answers if answer.status == 500]


async def test_forgotten_scripts_are_not_noticed(server: Server, broker: Callable[..., tuple[Program, str]]) -> None:
    """After SCRIPT FLUSH every route answers as ever."""
    _, url = broker("--redis-url", f"unix://{server.socket}")
    job_id = await job_of(url)
    with server.client() as client:
        client.script_flush()
        assert await faults_of(url, job_id) == []


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """The proxy before the store."""
    with Proxy(server.socket).up() as proxy:
        yield proxy


async def enqueue(session: aiohttp.ClientSession, url: str, key: str) -> tuple[int, Any]:
    headers = {"Idempotency-Key": key}
    async with session.post(f"{url}/v1/groups/g/jobs", json={"jobs": [{"image": "x"}]}, headers=headers) as told:
        return told.status, await told.json()


async def test_lost_answers_send_nothing_twice(
    server: Server, proxy: Proxy, broker: Callable[..., tuple[Program, str]]
) -> None:
    """Where answers are lost on the way each call was sent to the store once, by count; repeats make no second job."""
    _, url = broker("--redis-url", f"redis://127.0.0.1:{proxy.port}")
    job_id = await job_of(url)
    proxy.sent.clear()
    proxy.is_losing = True
    assert_refused(await walk(url, job_id))
    async with aiohttp.ClientSession() as session:
        lost = [await enqueue(session, url, f"key-{number}") for number in range(20)]
        assert {status for status, _ in lost} == {503}
        assert sum(n for text, n in proxy.scripts().items() if b" key-" in text or b":key-" in text) == 20
        assert sent_again(proxy) == {}
        proxy.is_losing = False
        assert await back_s(url) < BACK_S + SLACK_S
        told = [await enqueue(session, url, f"key-{number}") for number in range(20)]
    assert {status for status, _ in told} == {201}
    ids = [job["id"] for _, body in told for job in body["jobs"]]
    assert len(set(ids)) == 20
    with server.client() as client:
        made = client.zcard("titan:{0}:group:g:jobs")
    assert made - 5 - 20 in {0, 1}  # job_of, one a key, and the walk's own: its connection may end before it is read


async def test_frozen_store_gets_each_call_once(
    server: Server, proxy: Proxy, broker: Callable[..., tuple[Program, str]]
) -> None:
    """What was sent to a frozen store is found there once when it wakes, and the same finish may be repeated."""
    _, url = broker("--redis-url", f"redis://127.0.0.1:{proxy.port}")
    await job_of(url)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/v1/jobs") as taken:
            [job] = (await taken.json())["jobs"]
        path, body = f"{url}/v1/groups/g/jobs/{job['id']}/success", {"lease": job["lease"]}
        proxy.sent.clear()
        with frozen(server):
            async with session.post(path, json=body) as told:
                assert told.status == 503
            assert (await enqueue(session, url, "key"))[0] == 503
        await back_s(url)
        assert sent_again(proxy) == {}
        for _ in range(2):
            async with session.post(path, json=body) as told:
                assert told.status == 200
        assert (await enqueue(session, url, "key"))[0] == 201
    with server.client() as client:
        assert client.zcard("titan:{0}:group:g:jobs") == 6


_REPEATED = {script.sha.encode() for script in SCRIPTS.values() if script.flags == "no-writes"}
_REPEATED.add(SCRIPTS["bulk_take"].sha.encode())
"""Scripts that are sent again on purpose: those that only read, and the one that looks each second for bulks."""


def sent_again(proxy: Proxy) -> dict[bytes, int]:
    """State-changing calls that went to the store more than once; the reaper's, that ask anew, have no new ids."""
    return {
        text: n
        for text, n in proxy.scripts().items()
        if n > 1 and text.split()[1] not in _REPEATED and any(len(word) >= 11 for word in text.split()[4:])
    }
