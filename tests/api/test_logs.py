"""log and read_log over HTTP. What a form may look like is tested with broker.http.request.multipart."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from broker.core.errors import NotFound, StoreUnavailable
from broker.core.settings import BrokerSettings
from broker.logs.storage import Logs
from tests.api.client import Http
from tests.stores import Store

TEXT = {"Content_Type": "text/plain"}


def _log_of(job: dict[str, Any]) -> str:
    return f"/v1/groups/{job['group_name']}/jobs/{job['id']}/log"


async def _is_kept(logs: Logs, job: dict[str, Any]) -> bool:
    try:
        await logs.read(job["id"])
    except NotFound:
        return False
    return True


@pytest.mark.parametrize("name", ['name="log"', 'name="file"', 'name="log"; filename="../../etc/passwd"'])
async def test_log_by_a_form(http: Http, name: str) -> None:
    """A log comes as a part named log or file of a form, and goes out as it came."""
    [job] = await http.running()
    form = f"--x\r\nContent-Disposition: form-data; {name}\r\nContent-Type: text/x-log\r\n\r\n".encode()
    form += b"line 1\nline \xff 2\n\r\n--x--\r\n"
    reply = await http("POST", _log_of(job), form, Content_Type="multipart/form-data; boundary=x")
    assert (reply.status, reply.json["job"]["id"]) == (200, job["id"])
    async with http.session.get(f"http://{http.address[0]}:{http.address[1]}{_log_of(job)}") as answer:
        assert await answer.read() == b"line 1\nline \xff 2\n"
        assert answer.headers["Content-Length"] == "16"


async def test_log_is_replaced(http: Http) -> None:
    """Another upload takes the place of the log."""
    [job] = await http.running()
    for text in ("first, and longer\n", "second\n"):
        assert (await http("POST", _log_of(job), text, **TEXT)).status == 200
        assert (await http("GET", _log_of(job))).text == text


async def test_log_of_nothing(http: Http) -> None:
    """An empty log is a log."""
    [job] = await http.running()
    assert (await http("POST", _log_of(job), b"", **TEXT)).status == 200
    reply = await http("GET", _log_of(job))
    assert (reply.status, reply.text) == (200, "")


async def test_read_log_is_harmless(http: Http) -> None:
    """A log goes out as text that no browser takes for anything else."""
    [job] = await http.running()
    await http("POST", _log_of(job), "<script>", **TEXT)
    headers = (await http("GET", _log_of(job))).headers
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_read_log_tail(http: Http) -> None:
    """`tail` answers the last lines only."""
    [job] = await http.running()
    await http("POST", _log_of(job), "".join(f"{n}\n" for n in range(100)), **TEXT)
    assert (await http("GET", f"{_log_of(job)}?tail=2")).text == "98\n99\n"
    assert (await http("GET", f"{_log_of(job)}?tail=1000")).text.count("\n") == 100


async def test_read_log_before_there_is_one(http: Http) -> None:
    """A job without a log is a 404 that says so."""
    [job] = await http.running()
    for query in ("", "?tail=5"):
        reply = await http("GET", _log_of(job) + query)
        assert (reply.status, reply.problem.message) == (404, "The job has no log.")


@pytest.mark.parametrize("job", [{}, {"delay": 100}])
async def test_log_of_a_job_that_has_not_run(http: Http, logs: Logs, job: dict[str, Any]) -> None:
    """A job that has not run takes no log."""
    [made] = await http.enqueue(job)
    reply = await http("POST", _log_of(made), "text", **TEXT)
    assert (reply.status, reply.problem.code) == (409, "wrong_state")
    assert made["status"] in reply.problem.message
    assert not await _is_kept(logs, made)


@pytest.mark.parametrize("verb", ["success", "error", "cancel"])
async def test_log_of_a_finished_job(http: Http, verb: str) -> None:
    """A finished job takes a log still."""
    [job] = await http.running()
    await http("POST", f"/v1/groups/g/jobs/{job['id']}/{verb}")
    assert (await http("POST", _log_of(job), "text", **TEXT)).status == 200


@pytest.mark.parametrize("settings", [BrokerSettings(key_prefix="small", max_log_bytes=1000)])
async def test_log_that_is_too_large(http: Http) -> None:
    """A log above its limit is a 413, be its length told or not, and the old log stays."""
    [job] = await http.running()
    await http("POST", _log_of(job), "old", **TEXT)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    for body in (b"x" * 1001, pieces()):
        reply = await http("POST", _log_of(job), body, **TEXT)
        assert (reply.status, reply.problem.code) == (413, "too_large")
    assert (await http("GET", _log_of(job))).text == "old"


async def test_log_of_another_type(http: Http) -> None:
    """A log that is neither a form nor text is a 415."""
    [job] = await http.running()
    for headers in ({"Content_Type": "application/json"}, {"Content_Type": "text/plain", "Content_Encoding": "gzip"}):
        assert (await http("POST", _log_of(job), b"{}", **headers)).status == 415


async def test_log_of_a_job_that_goes_meanwhile(
    http: Http, store: Store, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log of a job that is removed during the upload is deleted again."""
    [job] = await http.running()
    write = logs.write

    async def write_and_remove(job_id: str, pieces: AsyncIterator[bytes]) -> int:
        size_bytes = await write(job_id, pieces)
        await store.cancel("g", job_id)
        await store.remove("g", job_id)
        return size_bytes

    monkeypatch.setattr(logs, "write", write_and_remove)
    assert (await http("POST", _log_of(job), "text", **TEXT)).status == 404
    assert not await _is_kept(logs, job)


async def test_log_of_a_client_gone_in_the_middle(http: Http, logs: Logs) -> None:
    """Half an upload leaves nothing behind, and the old log stays."""
    [job] = await http.running()
    await http("POST", _log_of(job), "old", **TEXT)
    head = (
        f"POST {_log_of(job)} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nhalf"
    )
    async with http.line(head.encode()) as (_, writer):
        await writer.drain()
        await asyncio.sleep(0)
    assert (await http("GET", _log_of(job))).text == "old"


@pytest.mark.parametrize("query", ["", "?tail=9"])
async def test_read_log_that_breaks_off(http: Http, logs: Logs, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    """When the log store fails in the middle, the connection is cut: the client does not take a part for the whole."""
    [job] = await http.running()
    await http("POST", _log_of(job), "x" * 1000, **TEXT)

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 500
        raise StoreUnavailable

    async def read(_id: str, _start: int) -> tuple[int, AsyncIterator[bytes]]:
        return 1000, broken()

    async def tail(_id: str, _lines: int) -> AsyncIterator[bytes]:
        return broken()

    monkeypatch.setattr(logs, "read", read)
    monkeypatch.setattr(logs, "tail", tail)
    with pytest.raises(aiohttp.ClientPayloadError):
        await http("GET", _log_of(job) + query)


async def test_read_log_while_the_log_store_is_away(http: Http, logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails before the first piece is a refusal like any other."""
    [job] = await http.running()
    await http("POST", _log_of(job), "text", **TEXT)

    async def broken() -> AsyncIterator[bytes]:
        raise StoreUnavailable
        yield b""

    async def read(_id: str, _start: int) -> tuple[int, AsyncIterator[bytes]]:
        return 1000, broken()

    monkeypatch.setattr(logs, "read", read)
    assert (await http("GET", _log_of(job))).status == 503


async def test_remove_with_a_log(http: Http, store: Store, logs: Logs) -> None:
    """A job's log goes with it, and nothing of it is left to do."""
    [job] = await http.running()
    await http("POST", _log_of(job), "text", **TEXT)
    await http("POST", f"/v1/groups/g/jobs/{job['id']}/success")
    assert (await http("DELETE", f"/v1/groups/g/jobs/{job['id']}")).status == 204
    assert not await _is_kept(logs, job)
    assert await store.discarded(10) == []
    assert (await http("GET", _log_of(job))).status == 404


async def test_remove_while_the_log_store_is_away(
    http: Http, store: Store, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is gone for good; its log is left to the reaper."""

    async def away(_: list[str]) -> None:
        raise StoreUnavailable

    [job] = await http.running()
    await http("POST", _log_of(job), "text", **TEXT)
    await http("POST", f"/v1/groups/g/jobs/{job['id']}/success")
    monkeypatch.setattr(logs, "delete", away)
    assert (await http("DELETE", f"/v1/groups/g/jobs/{job['id']}")).status == 204
    assert await store.discarded(10) == [job["id"]]
