"""The front end of a broker with the dialect: its header on every answer, and whom it refuses."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from broker.core.settings import BrokerSettings
from broker.http.app import DISPATCHER, RequestDispatcher, make_app
from broker.http.contract import contract_of
from broker.http.request.context import AppContext, Broker
from broker.http.routes import ROUTES
from broker.http.server.admission import SHED_FIRST
from broker.logs.storage import Logs
from broker.resp.notifier import Notifier
from tests.api.client import NO_JOB, Http
from tests.dialect.conftest import front
from tests.stores import Store
from titan.dialect import OWN_CLIENT, refusal_of_dialect


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/v1/groups", 200),
        ("GET", "/v1/groups/g/tasks?status=done", 400),
        ("GET", f"/v1/groups/g/tasks/{NO_JOB}", 404),
        ("GET", f"/v1/groups/g/tasks/{NO_JOB}/log", 404),
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/tasks", 405),
        ("GET", "/v1/stream-check", 200),
        ("GET", "/ui/", 404),
    ],
)
async def test_every_answer_says_the_dialect(http: Http, method: str, path: str, status: int) -> None:
    """Answers, refusals and streams have the header, and there is no dashboard."""
    reply = await http(method, path)
    assert (reply.status, reply.headers.getall("Titan-Dialect")) == (status, ["2016"])


@pytest.mark.parametrize("path", ["/v1/groups/g/tasks?status=done", f"/v1/groups/g/tasks/{NO_JOB}/log", "/v1/nothing"])
async def test_errors_name_no_page(http: Http, today: Http, path: str) -> None:
    """This broker has no pages, so its errors lead to none; those of a broker with pages do."""
    assert (await http("GET", "/docs/")).status == 404
    problem = (await http("GET", path)).json["error"]
    assert set(problem) - {"fields"} == {"message", "code"}
    page, _, anchor = (await today("GET", path.replace("tasks", "jobs"))).json["error"]["doc"].partition("#")
    assert (anchor, (await today("GET", page)).status) == (problem["code"], 200)


async def test_refusal_of_a_busy_broker_says_the_dialect(
    store: Store, logs: Logs, notifier: Notifier, settings: BrokerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 503 of admission control has the header too."""
    monkeypatch.setattr("broker.http.server.admission.PATIENCE_S", 0.05)
    monkeypatch.setattr("broker.http.server.admission.LONGEST_S", 0.05)
    busy = msgspec.structs.replace(settings, dialect="2016", max_in_progress=1)
    async with front(store, logs, notifier, busy) as http:
        assert http.runner.app[DISPATCHER].context.admission.admit(SHED_FIRST, 1)
        async with asyncio.timeout(10):
            reply = await http("GET", "/v1/groups")
        assert (reply.status, reply.headers.get("Titan-Dialect")) == (503, "2016")


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\x02\x00", b"EHLO example.org\r\n", b"GET /v1/groups HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n"],
    ids=["TLS", "no HTTP", "a bad head"],
)
async def test_answer_to_input_that_is_no_http_says_the_dialect(http: Http, sent: bytes) -> None:
    """What is no request is a 400 with the header, and leads to no page."""
    head, body = await _answer_to(http, sent)
    assert head[0].endswith(b" 400 Bad Request")
    assert head.count(b"Titan-Dialect: 2016") == 1
    assert set(msgspec.json.decode(body)["error"]) == {"message", "code"}


async def test_answer_above_the_most_connections_says_the_dialect(
    store: Store, logs: Logs, notifier: Notifier, settings: BrokerSettings
) -> None:
    """A connection that is one too many gets a 503 with the header."""
    full = msgspec.structs.replace(settings, dialect="2016", max_connections=1)
    async with front(store, logs, notifier, full) as http:
        assert (await http("GET", "/healthz")).status == 200  # its connection stays open, and is in use
        head, body = await _answer_to(http, b"")
    assert head[0] == b"HTTP/1.1 503 Service Unavailable"
    assert {b"Titan-Dialect: 2016", b"Retry-After: 1", b"Connection: close"} <= set(head)
    assert msgspec.json.decode(body)["error"]["message"] == "The broker has too many connections."


async def _answer_to(http: Http, sent: bytes) -> tuple[list[bytes], bytes]:
    """The lines of the head, and the body, of what the broker answers to these bytes."""
    reader, writer = await asyncio.open_connection(*http.address)
    writer.write(sent)
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return head.split(b"\r\n"), body


@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/jobs"])
async def test_client_of_titan_is_refused_before_it_takes_a_job(http: Http, path: str) -> None:
    """A command or worker of Titan is told what to do, and no job is dispatched to it."""
    await http.enqueue()
    reply = await http("GET", path, User_Agent=f"{OWN_CLIENT}0.1.0")
    assert (reply.status, reply.problem.code) == (421, "misdirected")
    assert "Start another broker on the same store without --dialect" in reply.problem.message
    [job] = (await http("GET", path)).json.popitem()[1]
    assert job["deliveries"] == 1


def test_page_has_the_sentence() -> None:
    """The page about the dialect shows what a command says."""
    page = Path(__file__).parents[2] / "broker/docs/dialect-2016.md"
    assert f"Error: {refusal_of_dialect('2016', 'The broker at http://127.0.0.1:8081')}\n" in page.read_text("utf-8")


async def test_client_of_titan_is_welcome_without_the_dialect(today: Http) -> None:
    """A broker without the dialect does not look at the client's name, and says no dialect."""
    reply = await today("GET", "/v1/groups", User_Agent=f"{OWN_CLIENT}0.1.0")
    assert (reply.status, reply.headers.get("Titan-Dialect")) == (200, None)


async def test_broker_without_the_dialect_pays_nothing(
    store: Store, logs: Logs, notifier: Notifier, settings: BrokerSettings
) -> None:
    """Its rows are the handlers themselves, and a fast request is answered by the dispatcher's own method."""
    contract = contract_of(settings)
    assert all(served is row for served, row in zip(contract.routes, ROUTES, strict=False))
    assert contract.headers == ()
    broker = Broker(store, logs, notifier, settings)
    dispatcher = RequestDispatcher(AppContext(broker, contract.document), contract)
    assert dispatcher._answer == dispatcher._respond
    assert len(make_app(broker).on_response_prepare) == 1  # it adds the id of the request
