"""Every route of the seed: without the dialect, with it, and with it under /tasks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from broker.core.settings import BrokerSettings
from broker.http.contract import contract_of
from broker.http.route import Route
from broker.http.routes import ROUTES
from broker.http.server.pending_response import PendingResponse
from broker.models.groups import GroupSettings
from tests.api.client import Http, Reply
from tests.stores import Store

PLAIN, OLD_JOBS, OLD_TASKS = "today", "2016", "2016 with tasks"
OLD = [OLD_JOBS, OLD_TASKS]
NEW_SETTINGS = "2016 with new settings"
LATER = GroupSettings(start_within=3600, dead_letter_to="dead", rate_limit=1000, max_concurrency=1000)
"""Settings that the seed does not know, but for `retry`, whose owner asks for failures that are no end."""


class Side(NamedTuple):
    """One way to use a broker: the words of its paths and wrappers, and of its statuses."""

    http: Http
    many: str
    succeeded: str
    failed: str

    @property
    def one(self) -> str:
        """The wrapper of one job."""
        return self.many[:-1]

    @property
    def jobs(self) -> str:
        """The path of the jobs of the group."""
        return f"/v1/groups/g/{self.many}"

    async def on(self, method: str, verb: str, job: dict[str, Any], *body: Any, **headers: str) -> Reply:
        """A request about one job."""
        return await self.http(method, f"{self.jobs}/{job['id']}{verb}", *body, **headers)

    async def enqueue(self, *jobs: dict[str, Any]) -> list[dict[str, Any]]:
        """New jobs."""
        reply = await self.http("POST", self.jobs, {self.many: [{"image": "i", **job} for job in jobs or ({},)]})
        assert reply.status == 201, reply
        return reply.json[self.many]

    async def running(self) -> dict[str, Any]:
        """A job that runs."""
        await self.enqueue()
        [job] = (await self.http("GET", f"/v1/{self.many}")).json[self.many]
        return job


@pytest.fixture(params=[PLAIN, *OLD, NEW_SETTINGS])
async def side(request: pytest.FixtureRequest, http: Http, today: Http, store: Store) -> Side:
    """Each way to use a broker; also an old client in a group whose owner has set everything that came later."""
    if request.param == NEW_SETTINGS:
        await store.configure("g", LATER)
    if request.param == PLAIN:
        return Side(today, "jobs", "succeeded", "failed")
    return Side(http, "tasks" if request.param == OLD_TASKS else "jobs", "success", "error")


async def _enqueue(side: Side) -> Reply:
    return await side.http("POST", side.jobs, {side.many: [{"image": "i"}]})


async def _list(side: Side) -> Reply:
    await side.enqueue()
    return await side.http("GET", side.jobs)


async def _show(side: Side) -> Reply:
    [job] = await side.enqueue()
    return await side.on("GET", "", job)


async def _remove(side: Side) -> Reply:
    [job] = await side.enqueue()
    await side.on("POST", "/cancel", job)
    return await side.on("DELETE", "", job)


async def _cancel(side: Side) -> Reply:
    [job] = await side.enqueue()
    return await side.on("POST", "/cancel", job)


async def _retry(side: Side) -> Reply:
    job = await side.running()
    await side.on("POST", "/success", job)
    return await side.on("POST", "/retry", job)


async def _next(side: Side) -> Reply:
    await side.enqueue()
    return await side.http("GET", f"/v1/{side.many}")


async def _start(side: Side) -> Reply:
    [job] = await side.enqueue()
    return await side.on("POST", "/start", job, {"started_at": "2016-06-01T00:00:00Z"})


async def _touch(side: Side) -> Reply:
    return await side.on("POST", "/touch", await side.running())


async def _success(side: Side) -> Reply:
    return await side.on("POST", "/success", await side.running())


async def _error(side: Side) -> Reply:
    return await side.on("POST", "/error", await side.running(), {"reason": "bad_exit"})


async def _log(side: Side) -> Reply:
    return await side.on("POST", "/log", await side.running(), "hello\n", Content_Type="text/plain")


async def _read_log(side: Side) -> Reply:
    job = await side.running()
    await side.on("POST", "/log", job, "hello\n", Content_Type="text/plain")
    return await side.on("GET", "/log", job)


MANY, ONE, NOTHING, TEXT = range(4)
EXAMPLES: list[tuple[Callable[[Side], Awaitable[Reply]], int, int, str]] = [
    (_enqueue, 201, MANY, "queued"),
    (_list, 200, MANY, "queued"),
    (_show, 200, ONE, "queued"),
    (_remove, 204, NOTHING, ""),
    (_cancel, 200, ONE, "cancelled"),
    (_retry, 200, ONE, "queued"),
    (_next, 200, MANY, "running"),
    (_start, 200, ONE, "running"),
    (_touch, 204, NOTHING, ""),
    (_success, 200, ONE, "succeeded"),
    (_error, 200, ONE, "failed"),
    (_log, 200, ONE, "running"),
    (_read_log, 200, TEXT, ""),
]


def _name(value: object) -> str:
    return value.__name__[1:] if callable(value) else ""


@pytest.mark.parametrize(("example", "status", "form", "job_status"), EXAMPLES, ids=_name)
async def test_route_of_the_seed(
    side: Side, example: Callable[[Side], Awaitable[Reply]], status: int, form: int, job_status: str
) -> None:
    """Each route answers with the wrapper and the words of its side, and says which dialect it speaks."""
    reply = await example(side)
    is_old = side.succeeded == "success"
    assert (reply.status, reply.headers.get("Titan-Dialect")) == (status, "2016" if is_old else None), reply
    if form in {NOTHING, TEXT}:
        assert reply.text == ("hello\n" if form == TEXT else "")
        return
    assert reply.json.keys() == {side.many if form == MANY else side.one}
    [job] = reply.json[side.many] if form == MANY else [reply.json[side.one]]
    expected = {"succeeded": side.succeeded, "failed": side.failed}.get(job_status, job_status)
    assert (job["status"], job["group_name"], job.get("name")) == (expected, "g", "g" if is_old else None)


def _rows() -> list[Route]:
    return list(contract_of(BrokerSettings(dialect="2016")).routes)


def test_every_route_of_the_seed_has_an_example() -> None:
    """The rows under /tasks are the examples of this file."""
    rows = {f"{row.method} {row.path.removeprefix('/v1')}" for row in _rows() if "/tasks" in row.path}
    job = "/groups/{group_name}/tasks/{id}"
    verbs = ("cancel", "retry", "start", "touch", "success", "error", "log")
    assert rows == {
        "GET /tasks",
        "GET /groups/{group_name}/tasks",
        "POST /groups/{group_name}/tasks",
        f"GET {job}",
        f"DELETE {job}",
        f"GET {job}/log",
        *(f"POST {job}/{verb}" for verb in verbs),
    }
    assert len(rows) == len(EXAMPLES)


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/tasks"])
async def test_answer_is_of_the_type_of_its_row(http: Http, path: str) -> None:
    """An answer with all that a job may have is valid by the types from which the document is made."""
    many = path.rpartition("/")[2]
    await http("POST", "/v1/groups", {"group": {"name": "g", "env_vars": {"A": "1"}}})
    await http("POST", f"/v1/groups/g/{many}", {many: [{"image": "i", "payload": "é\u2028 \x00", "max_retries": 1}]})
    reply = await http("GET", path)
    [row] = [row for row in _rows() if (row.method, row.path) == ("GET", path)]
    [job] = getattr(msgspec.json.decode(reply.text, type=row.gives, strict=True), many)
    assert (job.payload, job.env_vars) == ("é\u2028 \x00", {"A": "1"})
    await http("POST", f"/v1/groups/g/{many}/{job.id}/error", {"reason": "not_started"})
    reply = await http("GET", f"/v1/groups/g/{many}/{job.id}")
    [row] = [row for row in _rows() if row.verb == "show" and f"/{many}/" in row.path]
    shown = getattr(msgspec.json.decode(reply.text, type=row.gives), many[:-1])
    assert (shown.status, shown.reason, shown.error) == ("error", "bad_exit", "not_started")


async def test_slow_path_answers_the_same(http: Http) -> None:
    """A request that aiohttp parses is translated too."""

    async def pieces() -> Any:
        yield b'{"tasks":[{"image":"i"},'
        yield b'{"image":"j"}]}'

    reply = await http("POST", "/v1/groups/g/tasks", pieces(), Content_Type="application/json")
    assert [task["name"] for task in reply.json["tasks"]] == ["g", "g"]
    assert reply.headers["Titan-Dialect"] == "2016"
    path = "/v1/groups/g/tasks?n=1&created_after=2016-01-01T00:00:00%2B01:00"
    [task] = (await http("GET", path, Connection="close")).json["tasks"]
    assert task["image"] == "j"


def test_row_under_tasks_is_guarded_as_its_row_under_jobs() -> None:
    """It has the scope, the act in the audit and the refusals of its verb; a page of another site may not send it."""
    today = {route.verb: route for route in ROUTES}
    of_tasks = [row for row in _rows() if "/tasks" in row.path]
    assert of_tasks
    for row in of_tasks:
        same = today[row.verb]
        guards = [(r.method, r.status, r.scope, r.act, r.is_changing, r.refuses, r.is_streamed) for r in (row, same)]
        assert guards[0] == guards[1], row.verb


async def test_acts_of_a_program_of_2016_are_audited(http: Http) -> None:
    """A cancel under /tasks and its repeat are in the audit, with the job and the outcome."""
    [task] = await Side(http, "tasks", "success", "error").enqueue()
    for _ in range(2):
        await http("POST", f"/v1/groups/g/tasks/{task['id']}/cancel")
    entries: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while sum(entry["n"] for entry in entries) < 2:
            entries = (await http("GET", "/v1/audit")).json["entries"]
    noted = [(entry["act"], entry["group"], entry["ids"], entry["outcome"]) for entry in entries[::-1]]
    assert noted == [("cancel", "g", [task["id"]], "ok"), ("cancel", "g", [task["id"]], "wrong_state")]


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/tasks"])
async def test_job_of_a_program_that_is_gone_goes_back(
    http: Http, store: Store, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A job whose translated answer meets a closed connection is queued again, and the delivery is not counted."""
    is_cut = asyncio.Event()
    fill = PendingResponse.fill

    def fill_on_a_cut_line(pending: PendingResponse, *answer: Any) -> None:
        pending._connection.transport.abort()  # type: ignore[attr-defined]
        is_cut.set()
        fill(pending, *answer)

    [job] = await http.enqueue()
    with monkeypatch.context() as patch:
        patch.setattr(PendingResponse, "fill", fill_on_a_cut_line)
        async with http.line(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()):
            await is_cut.wait()
    await store.settle()
    kept = await store.show("g", job["id"])
    assert (kept.status, kept.deliveries) == ("queued", 0)
