"""The id of each request, and the access log."""

import hashlib
import logging
from typing import Any

import msgspec
import pytest

from broker.auth.grants import Access, access_of
from broker.core.settings import BrokerSettings
from broker.http.server.access_log import AccessLine, AccessLog
from tests.api.client import Http

JOBS = "/v1/groups/g/jobs"


@pytest.fixture
def backend() -> str:
    """One store is enough: no store sees the id of a request."""
    return "fake"


@pytest.fixture
def settings(settings: BrokerSettings) -> BrokerSettings:
    """With the access log, and a proxy on this machine."""
    return msgspec.structs.replace(settings, access_log=True, access_log_rate=5, trust_proxy=("127.0.0.1",))


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.__dict__ for record in caplog.records if record.name == "broker.access"]


@pytest.mark.parametrize("method", ["GET", "PATCH", "HEAD"])
@pytest.mark.parametrize("path", ["/healthz", "/v1/nothing", f"{JOBS}/no-id", "/v1/groups?n=x"])
async def test_every_response_has_the_id_of_its_request(http: Http, method: str, path: str) -> None:
    """The id that a client gave is answered, also with an error, by the fast path and by aiohttp."""
    for headers in ({"X-Request-Id": "a-1/b:c"}, {"X-Request-Id": "a-1/b:c", "Connection": "close"}):
        reply = await http(method, path, **headers)
        assert reply.headers.getall("X-Request-Id") == ["a-1/b:c"]


@pytest.mark.parametrize("given", [None, "", "a b", 'a"b', "x" * 129, "a;b", "é"])
async def test_id_that_is_made(http: Http, given: str | None) -> None:
    """A request without an id, or with one that could harm a log, gets a new one."""
    made = set()
    for extra in ({}, {"Connection": "close"}):
        reply = await http("GET", "/healthz", **(extra if given is None else {"X-Request-Id": given, **extra}))
        [own] = reply.headers.getall("X-Request-Id")
        assert own != given
        made.add(own)
    assert len(made) == 2


async def test_input_that_is_no_http_has_an_id_too(http: Http) -> None:
    """The refusal of input that is not HTTP has an id."""
    async with http.line(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n") as (reader, _):
        assert b"\r\nX-Request-Id: " in await reader.read(2000)


async def test_line_of_a_request(http: Http, caplog: pytest.LogCaptureFixture) -> None:
    """A line has the request id, method, route, status, time, bytes, and the client's address as the proxy says."""
    caplog.set_level(logging.INFO, "broker.access")
    for more in ({}, {"Connection": "close"}):
        headers = {"X-Request-Id": "r-1", "X-Forwarded-For": "203.0.113.7", **more}
        reply = await http("GET", f"{JOBS}?n=7", **headers)
    first, second = lines(caplog)
    for line in (first, second):
        assert (line["event"], line["request"], line["method"], line["status"]) == ("request.done", "r-1", "GET", 200)
        assert (line["route"], line["client"], line["n"]) == ("/v1/groups/{group_name}/jobs", "203.0.113.7", 1)
        assert line["bytes"] == len(reply.text)
        assert 0 < line["ms"] < 60_000


async def test_lines_of_refusals_and_of_paths_without_a_route(http: Http, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal has its event; a path of nothing has no route, so its text is in no line."""
    caplog.set_level(logging.INFO, "broker.access")
    await http("GET", f"{JOBS}/0123456789abcdef")
    await http("GET", "/secret-path")
    assert [(line["event"], line["status"], line.get("route")) for line in lines(caplog)] == [
        ("request.refused", 404, "/v1/groups/{group_name}/jobs/{id}"),
        ("request.refused", 404, None),
    ]
    assert "secret-path" not in caplog.text


async def test_failed_request_names_its_id(
    http: Http, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traceback of a request that failed has the id that the client has."""
    monkeypatch.setattr("broker.http.request.context.group_name", lambda _: 1 / 0)
    reply = await http("GET", JOBS)
    [failed] = [record for record in caplog.records if record.exc_info]
    assert failed.__dict__["request"] == reply.headers["X-Request-Id"]
    assert failed.__dict__["event"] == "request.failed"


async def test_act_names_its_request(http: Http, caplog: pytest.LogCaptureFixture) -> None:
    """The line of an act has the id of its request, and the job."""
    caplog.set_level(logging.INFO)
    [job] = await http.enqueue()
    await http("POST", f"{JOBS}/{job['id']}/cancel", **{"X-Request-Id": "of-ann"})
    while not (found := [record.__dict__ for record in caplog.records if record.name == "broker.audit"]):
        await http("GET", "/v1/audit")
    assert [(one["event"], one["request"], one["job"], one["group"]) for one in found] == [
        ("job.cancelled", "of-ann", job["id"], "g")
    ]


async def test_flood_is_sampled_and_refusals_are_not_hidden(http: Http, caplog: pytest.LogCaptureFixture) -> None:
    """Above the rate a line stands for several requests: none is lost, and a refusal among them has its own line."""
    caplog.set_level(logging.INFO, "broker.access")
    many = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
    async with http.line(many + b"GET /v1/groups/g/jobs/0 HTTP/1.1\r\nHost: localhost\r\n\r\n") as (reader, _):
        await reader.readuntil(b" 404 ")
    assert sum(line["n"] for line in lines(caplog) if line["status"] == 404) == 1
    while sum(line["n"] for line in lines(caplog) if line["status"] == 200) < 200:
        await http("GET", "/v1/nothing")
    answered = [line["n"] for line in lines(caplog) if line["status"] == 200]
    assert sum(answered) == 200
    assert len(answered) < 30


def test_rate_of_lines(caplog: pytest.LogCaptureFixture) -> None:
    """After a burst of the rate, lines come evenly, and each says for how many requests it stands."""
    caplog.set_level(logging.INFO, "broker.access")
    now = [0.0]
    log = AccessLog(10, lambda: now[0])
    log._answered._timer = object()  # type: ignore[assignment]  # no loop: nothing flushes late
    log._answered.flush = lambda own=log._answered: _flush_without_timer(own)  # type: ignore[method-assign]
    for i in range(1000):
        now[0] = i / 500
        log.note(AccessLine("id", "GET", "/x", 200, 0.001, 0, "", lambda: "::1", may_wait=False))
    numbers = [line["n"] for line in lines(caplog)]
    assert numbers[:10] == [1] * 10
    assert 28 <= len(numbers) <= 31
    assert max(numbers) <= 51


def _flush_without_timer(sampler: Any) -> None:
    timer, sampler._timer = sampler._timer, None
    type(sampler).flush(sampler)
    sampler._timer = timer


@pytest.mark.parametrize(
    ("status", "seconds", "may_wait", "name"),
    [
        (200, 0.1, False, "request.done"),
        (200, 1.1, False, "request.slow"),
        (200, 9.0, True, "request.done"),
        (499, 0.1, False, "request.done"),
        (409, 9.0, False, "request.refused"),
        (503, 9.0, False, "request.failed"),
    ],
)
def test_events_of_lines(
    caplog: pytest.LogCaptureFixture, status: int, seconds: float, *, may_wait: bool, name: str
) -> None:
    """A request that is slow without waiting for something has an event of its own, and so have refusals."""
    caplog.set_level(logging.INFO, "broker.access")
    AccessLog(10).note(AccessLine("id", "GET", "/x", status, seconds, 0, "ann", lambda: "::1", may_wait))
    assert [(line["event"], line["by"]) for line in lines(caplog)] == [(name, "ann")]


class TestWithTokens:
    """A broker with tokens."""

    @pytest.fixture
    def access(self, tmp_path: Any) -> Access:
        """One token."""
        digest = hashlib.sha256(b"a-secret-token-of-ann-1234567890").hexdigest()
        (tmp_path / "tokens").write_text(f"{digest} admin * ann\n")
        return access_of(BrokerSettings(tokens=str(tmp_path / "tokens")))

    async def test_line_names_the_token_and_never_has_it(self, http: Http, caplog: pytest.LogCaptureFixture) -> None:
        """A line says whose token it was; a refused one is nobody's."""
        caplog.set_level(logging.DEBUG)
        token = "a-secret-token-of-ann-1234567890"
        await http("GET", JOBS, Authorization=f"Bearer {token}")
        await http("GET", JOBS, Authorization="Bearer another-secret-token-1234567890")
        assert [(line.get("by"), line["status"]) for line in lines(caplog)] == [("ann", 200), (None, 401)]
        assert "secret-token" not in repr([record.__dict__ for record in caplog.records])


def test_no_access_log_by_default() -> None:
    """It is off."""
    assert BrokerSettings().access_log is False
