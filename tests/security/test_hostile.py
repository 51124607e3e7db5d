"""A corpus of hostile requests against a broker that asks for no token: no 5xx, nothing hangs, nothing changes."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from broker.auth.grants import Access
from broker.core.settings import BrokerSettings
from tests.api.client import Http
from tests.security.hostile import CHUNKS, GOOD, HEADERS, INNER, JOBS, corpus


@pytest.fixture
def settings() -> BrokerSettings:
    """Short times, so that a connection on which more is to come is closed soon."""
    return BrokerSettings(
        key_prefix="hostile", head_timeout_s=0.5, body_timeout_s=0.5, json_timeout_s=1, keepalive_timeout_s=0.5
    )


@pytest.fixture
def access() -> Access:
    """No token is asked for, so that each request comes as far as it can."""
    return Access()


async def said(http: Http, request: bytes) -> bytes:
    """What the broker says to some bytes, until it closes; TimeoutError after 8 s."""
    reader, writer = await asyncio.open_connection(*http.address, limit=1 << 22)
    pieces: list[bytes] = []
    try:
        async with asyncio.timeout(8):
            with suppress(ConnectionError):
                writer.write(request)
                await writer.drain()
            with suppress(ConnectionError):
                while piece := await reader.read(1 << 16):
                    pieces.append(piece)
    finally:
        writer.close()
    return b"".join(pieces)


def statuses(answer: bytes) -> list[int]:
    """The statuses of the answers in it."""
    return [int(status) for status in re.findall(rb"HTTP/\d\.\d (\d{3}) ", answer)]


async def test_hostile_requests_change_nothing(
    http: Http, snapshot: Callable[[], Awaitable[dict[bytes, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of some 400 hostile requests is refused or closed; the store is as it was, byte for byte."""
    [job] = await http.running()
    await http.enqueue()  # a job that a smuggled request would take
    assert (await http("POST", f"{JOBS}/{job['id']}/log", "the log\n", Content_Type="text/plain")).status == 200
    requests = corpus(job["id"])
    before, text = await snapshot(), await _log(http, job)
    counts: Counter[str] = Counter()
    began = time.monotonic()
    for begin in range(0, len(requests), 20):
        some = requests[begin : begin + 20]
        for request, answer in zip(
            some, await asyncio.gather(*(said(http, r) for r in some), return_exceptions=True), strict=True
        ):
            if isinstance(answer, BaseException):
                counts["hangs"] += 1
                print("hangs:", request[:300])
                continue
            answers = statuses(answer)
            counts.update("5xx" if status >= 500 else "2xx" if status < 300 else "4xx" for status in answers)
            if not answers:
                counts["closed"] += 1
            if any(status >= 500 or status < 300 for status in answers):
                print(answers, request[:300])
    assert (await http("GET", "/healthz")).status == 200
    is_same = await snapshot() == before and await _log(http, job) == text
    line = (
        f"hostile requests {len(requests)}: {counts['5xx']} x 5xx, {counts['hangs']} hangs, {counts['closed']} closed"
    )
    with capsys.disabled():
        print(f"\n{line}, store {'unchanged' if is_same else 'CHANGED'}, {time.monotonic() - began:.1f} s")
    assert len(requests) > 300
    assert (counts["5xx"], counts["hangs"], counts["2xx"], is_same) == (0, 0, 0, True)


async def _log(http: Http, job: dict[str, Any]) -> str:
    return (await http("GET", f"{JOBS}/{job['id']}/log")).text


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
async def test_smuggled_request_is_not_answered(http: Http, header: bytes) -> None:
    """Where the length of a body can be read in two ways, one answer comes at most, and it is no success."""
    await http.enqueue()
    head = f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
    body = b"18\r\n" + GOOD + b"\r\n0\r\n\r\n" if b"hunked" in header else GOOD
    answers = statuses(await said(http, head + header + b"\r\n\r\n" + body + INNER))
    assert len(answers) <= 1
    assert not any(status < 400 for status in answers)
    assert len((await http("GET", "/v1/jobs?n=10")).json["jobs"]) == 1


@pytest.mark.parametrize("chunks", CHUNKS, ids=range(len(CHUNKS)))
async def test_chunks_that_are_wrong(http: Http, chunks: bytes) -> None:
    """A chunked body that breaks the grammar enqueues nothing."""
    head = f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
    answers = statuses(await said(http, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks))
    assert not any(status < 400 or status >= 500 for status in answers)
    assert (await http("GET", JOBS)).json["jobs"] == []
