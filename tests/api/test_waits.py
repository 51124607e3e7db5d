"""Waiting for the ends of jobs: one, several, and one that was just enqueued."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec import Raw
from redis.asyncio import Redis

from broker.core.settings import BrokerSettings
from broker.models.groups import GroupSettings, Retentions
from broker.models.reports import Finish
from broker.store import ends
from tests.api.client import NO_JOB, Http, Reply
from tests.conftest import eventually
from tests.stores import Store

Job = dict[str, Any]
RESULT = {"pages": 3}


@pytest.fixture
def other(store: Store, redis: Redis, settings: BrokerSettings, backend: str) -> Store:
    """The same store as another broker has it."""
    return Store(redis, settings, is_plain=backend == "fake")


@pytest.fixture
def no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker does not ask the store while the test runs."""
    monkeypatch.setattr(ends, "LOOK_S", 60)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker asks the store often."""
    monkeypatch.setattr(ends, "LOOK_S", 0.02)


def path_of(job: Job, words: str = "") -> str:
    """The URL of a job, or of a verb of it."""
    return f"/v1/groups/{job['group_name']}/jobs/{job['id']}{words}"


def key_of(job: Job) -> dict[str, str]:
    """The job as an item of a call for several."""
    return {"group_name": job["group_name"], "id": job["id"]}


async def waiting(http: Http, store: Store, path: str, body: Any = None, jobs: int = 1) -> "asyncio.Task[Reply]":
    """A request that waits by now for this number of jobs."""
    before = store.ends.n_jobs
    task = asyncio.create_task(http("POST" if body else "GET", path, body))
    await eventually(lambda: store.ends.n_jobs == before + jobs)
    return task


async def succeed(http: Http, job: Job) -> None:
    assert (await http("POST", path_of(job, "/success"), {"result": RESULT})).status == 200


async def fail(http: Http, job: Job) -> None:
    assert (await http("POST", path_of(job, "/error"), {"reason": "bad_exit"})).status == 200


async def cancel(http: Http, job: Job) -> None:
    assert (await http("POST", path_of(job, "/cancel"))).status == 200


async def finish(http: Http, job: Job) -> None:
    item = {**key_of(job), "status": "succeeded", "result": RESULT}
    assert (await http("POST", "/v1/jobs/finish", {"jobs": [item]})).json["jobs"][0]["ok"]


End = Callable[[Http, Job], Awaitable[None]]
ENDS = pytest.mark.parametrize(
    ("end", "status"), [(succeed, "succeeded"), (finish, "succeeded"), (fail, "failed"), (cancel, "cancelled")]
)


@ENDS
@pytest.mark.usefixtures("no_looks")
async def test_an_end_at_this_broker_wakes_at_once(http: Http, store: Store, end: End, status: str) -> None:
    """Trap G5: a client that waits is answered as soon as the job ends here, and then its result is stored."""
    [job] = await http.running()
    task = await waiting(http, store, path_of(job, "?wait=20"))
    await end(http, job)
    async with asyncio.timeout(5):
        reply = await task
    assert (reply.status, reply.json["job"]["status"]) == (200, status)
    assert reply.json["job"].get("result") == (RESULT if status == "succeeded" else None)
    assert reply.json["job"]["completed_at"]


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("status", ["succeeded", "failed"])
async def test_an_end_at_another_broker(http: Http, store: Store, other: Store, status: Any) -> None:
    """Trap G5: an end that another broker reported is found by the next look, with its result."""
    jobs = await http.running(*[{}] * 5)
    tasks = [await waiting(http, store, path_of(job, "?wait=20")) for job in jobs]
    result = {"result": Raw(b'{"pages":3}')} if status == "succeeded" else {}
    await other.finish([Finish(group_name="g", id=job["id"], status=status, **result) for job in jobs])
    async with asyncio.timeout(5):
        found = [(await task).json["job"] for task in tasks]
    assert [job["status"] for job in found] == [status] * 5
    assert [job.get("result") for job in found] == [RESULT if result else None] * 5


@pytest.mark.usefixtures("often")
async def test_a_wait_sees_through_a_release(http: Http, store: Store, other: Store) -> None:
    """A job that runs, is released and delivered again is not finished: the wait continues until it is."""
    [job] = await http.running()
    task = await waiting(http, store, path_of(job, "?wait=20"))
    await eventually(lambda: bool(store.ends._seen))
    await other.release("g", job["id"])
    await eventually(lambda: store.ends._seen.get(job["id"], b"") is None)
    [again] = await other.next(1, ["g"])
    await other.succeed("g", again.id, again.lease or "")
    async with asyncio.timeout(5):
        assert (await task).json["job"]["status"] == "succeeded"


async def test_a_wait_in_vain(http: Http) -> None:
    """At the end of the wait the job is answered as it is."""
    [job] = await http.running()
    began = time.monotonic()
    reply = await http("GET", path_of(job, "?wait=1"))
    assert (reply.status, reply.json["job"]["status"]) == (200, "running")
    assert 0.9 < time.monotonic() - began < 5


async def test_a_wait_for_a_finished_job(http: Http, store: Store) -> None:
    """It is answered at once, and nothing is asked later."""
    [job] = await http.running()
    await succeed(http, job)
    async with asyncio.timeout(5):
        assert (await http("GET", path_of(job, "?wait=30"))).json["job"]["result"] == RESULT
    assert not store.ends.is_awaited


@pytest.mark.parametrize("wait", ["31", "-1", "x", "1.5"])
async def test_a_wait_that_is_invalid(http: Http, wait: str) -> None:
    """A wait is 0 to 30 whole seconds."""
    [job] = await http.enqueue()
    assert (await http("GET", path_of(job, f"?wait={wait}"))).problem.fields == "wait"
    assert (await http("POST", f"/v1/groups/g/jobs?wait={wait}", {"jobs": [{"image": "i"}]})).problem.fields == "wait"


async def test_a_wait_for_no_job(http: Http, store: Store) -> None:
    """A job that does not exist is a 404 at once, in any group."""
    [job] = await http.enqueue()
    async with asyncio.timeout(5):
        assert (await http("GET", f"/v1/groups/g/jobs/{NO_JOB}?wait=30")).status == 404
        assert (await http("GET", f"/v1/groups/h/jobs/{job['id']}?wait=30")).status == 404
    assert not store.ends.is_awaited


@pytest.mark.usefixtures("no_looks")
async def test_a_job_that_is_deleted_at_its_end(http: Http, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap G8: with a retention of 0 the job is gone before it can be read: its end is answered once."""
    await store.configure("g", GroupSettings(retention=Retentions(succeeded=0, failed=0, cancelled=0)))
    show = store.jobs.show

    async def show_late(group: str, job_id: str) -> Any:
        if any(waiter.changed for some in store.ends._waiters.values() for one in some.values() for waiter in one):
            await store.remove(group, job_id)
        return await show(group, job_id)

    for end, expected in ((succeed, ("succeeded", RESULT, None)), (fail, ("failed", None, "bad_exit"))):
        [job] = await http.running()
        task = await waiting(http, store, path_of(job, "?wait=20"))
        several = await waiting(http, store, "/v1/jobs/wait", {"jobs": [key_of(job)], "wait": 20}, jobs=0)
        await asyncio.sleep(0.05)
        with monkeypatch.context() as patched:
            patched.setattr(store.jobs, "show", show_late)
            await end(http, job)
            async with asyncio.timeout(5):
                found = (await task).json["job"]
                [other] = (await several).json["jobs"]
        assert (found["status"], found.get("result"), found.get("reason")) == expected
        assert (other["job"]["status"], other["job"].get("result")) == expected[:2]
        assert (await http("GET", path_of(job, "?wait=20"))).status == 404


@pytest.mark.usefixtures("often")
async def test_a_job_that_is_gone_unseen(http: Http, store: Store, other: Store) -> None:
    """Trap G8: nothing is known of a job that another broker ended and deleted between two looks: 404."""
    [job] = await http.running()
    task = await waiting(http, store, path_of(job, "?wait=20"))
    await eventually(lambda: bool(store.ends._seen))
    async with other.redis.pipeline(transaction=True) as pipe:
        p = other.partitions[0]
        pipe.hdel(f"{p}:executions", job["id"]).hdel(f"{p}:jobs", job["id"]).zrem(f"{p}:group:g:running", job["id"])
        pipe.zrem(f"{p}:group:g:jobs", job["id"]).zrem(f"{p}:due", "running:g")
        await pipe.execute()
    async with asyncio.timeout(5):
        assert (await task).status == 404


@pytest.mark.parametrize("path", ["get", "several", "enqueue"])
async def test_a_client_that_is_gone(http: Http, store: Store, path: str) -> None:
    """Trap G7: a client that hangs up while it waits leaves nothing behind, at the broker and in admission control."""
    [job] = await http.running()
    server = http.runner.server
    assert server is not None
    before = len(server.connections)
    body = b'{"jobs":[{"group_name":"g","id":"%b"}],"wait":30}' % job["id"].encode()
    first, body = {
        "get": (f"GET {path_of(job, '?wait=30')}", b""),
        "several": ("POST /v1/jobs/wait", body),
        "enqueue": ("POST /v1/groups/g/jobs?wait=30", b'{"jobs":[{"image":"i"}]}'),
    }[path]
    head = f"{first} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    async with http.line(head.encode() + body):
        await eventually(lambda: store.ends.n_jobs == 1)
    await eventually(lambda: len(server.connections) == before)
    await eventually(lambda: store.ends.n_jobs == 0)
    assert (store.ends.is_awaited, store.ends._seen, store.ends._timers) == (False, {}, {})
    metrics = (await http("GET", "/metrics")).text
    assert "titan_requests_in_progress 0" in metrics


@pytest.mark.usefixtures("no_looks")
async def test_a_wait_at_a_stop(http: Http, store: Store) -> None:
    """When the broker stops, those who wait are answered with their jobs as they are, and nobody waits any more."""
    [job] = await http.running()
    tasks = [
        await waiting(http, store, path_of(job, "?wait=30")),
        await waiting(http, store, "/v1/groups/g/jobs?wait=30", {"jobs": [{"image": "i"}]}),
        await waiting(http, store, "/v1/jobs/wait", {"jobs": [key_of(job)], "wait": 30}, jobs=0),
    ]
    await asyncio.sleep(0.05)
    await http.runner.app.shutdown()
    async with asyncio.timeout(5):
        one, made, several = [await task for task in tasks]
        assert one.json["job"]["status"] == several.json["jobs"][0]["job"]["status"] == "running"
        assert (made.status, made.json["jobs"][0]["status"]) == (201, "queued")
        assert (await http("GET", path_of(job, "?wait=30"))).json["job"]["status"] == "running"


@pytest.mark.usefixtures("no_looks")
async def test_wait_for_all(http: Http, store: Store) -> None:
    """All of the jobs are finished, or do not exist; each answer is in the place of its job."""
    first, second, third = await http.running({}, {}, {})
    [elsewhere] = await http.running(group="h")
    items = [key_of(job) for job in (first, second, elsewhere, first)] + [{"group_name": "h", "id": third["id"]}]
    task = await waiting(http, store, "/v1/jobs/wait", {"jobs": items, "wait": 20, "for": "all"}, jobs=4)
    await fail(http, second)
    await succeed(http, elsewhere)
    await asyncio.sleep(0.05)
    assert not task.done()
    await succeed(http, first)
    async with asyncio.timeout(5):
        rows = (await task).json["jobs"]
    assert [row["id"] for row in rows] == [item["id"] for item in items]
    assert [row["job"]["status"] for row in rows[:4]] == ["succeeded", "failed", "succeeded", "succeeded"]
    assert [row["job"].get("result") for row in rows[:4]] == [RESULT, None, RESULT, RESULT]
    assert (rows[4]["error"]["code"], "job" in rows[4]) == ("not_found", False)
    rows = (await http("POST", "/v1/jobs/wait", {"jobs": [{"group_name": "g", "id": "x"}], "wait": 20})).json["jobs"]
    assert [row["error"]["code"] for row in rows] == ["not_found"]


@pytest.mark.usefixtures("no_looks")
async def test_wait_for_any(http: Http, store: Store) -> None:
    """The first end is enough; the others are answered as they are."""
    jobs = await http.running({}, {}, {})
    body = {"jobs": [key_of(job) for job in jobs], "wait": 20, "for": "any"}
    task = await waiting(http, store, "/v1/jobs/wait", body, jobs=3)
    await cancel(http, jobs[1])
    async with asyncio.timeout(5):
        rows = (await task).json["jobs"]
        assert [row["job"]["status"] for row in rows] == ["running", "cancelled", "running"]
        rows = (await http("POST", "/v1/jobs/wait", body)).json["jobs"]
        assert [row["job"]["status"] for row in rows] == ["running", "cancelled", "running"]


async def test_wait_for_several_in_vain(http: Http) -> None:
    """At the end of the wait all are answered as they are then; without `wait` at once."""
    jobs = await http.running({}, {})
    await succeed(http, jobs[0])
    for wait in ({}, {"wait": 1}):
        rows = (await http("POST", "/v1/jobs/wait", {"jobs": [key_of(job) for job in jobs], **wait})).json["jobs"]
        assert [row["job"]["status"] for row in rows] == ["succeeded", "running"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"jobs": []}, "jobs"),
        ({"jobs": [{"group_name": "g", "id": NO_JOB}] * 101}, "jobs"),
        ({"jobs": [{"group_name": "a/b", "id": NO_JOB}]}, "jobs[0].group_name"),
        ({"jobs": [{"group_name": "g", "id": 5}]}, "jobs[0].id"),
        ({"jobs": [{"group_name": "g", "id": NO_JOB}], "wait": 31}, "wait"),
        ({"jobs": [{"group_name": "g", "id": NO_JOB}], "for": "some"}, "for"),
        ({"jobs": [{"group_name": "g", "id": NO_JOB}], "needs": "any"}, "needs"),
        ({}, "jobs"),
    ],
)
async def test_wait_for_several_that_is_invalid(http: Http, body: Any, field: str) -> None:
    """A field that is invalid is named."""
    refused = await http("POST", "/v1/jobs/wait", body)
    assert (refused.status, refused.problem.fields) == (400, field)


@pytest.mark.usefixtures("no_looks")
async def test_enqueue_and_wait(http: Http, store: Store) -> None:
    """The answer is 200 with the finished job and its result, or 201 with the job as it is at the end of the wait."""
    body = {"jobs": [{"image": "i", "payload": "p"}]}
    task = await waiting(http, store, "/v1/groups/g/jobs?wait=20", body)
    [job] = (await http("GET", "/v1/jobs?group=g")).json["jobs"]
    await succeed(http, job)
    async with asyncio.timeout(5):
        reply = await task
    [done] = reply.json["jobs"]
    assert (reply.status, done["id"], done["status"], done["result"]) == (200, job["id"], "succeeded", RESULT)
    reply = await http("POST", "/v1/groups/g/jobs?wait=1", body)
    assert (reply.status, reply.json["jobs"][0]["status"]) == (201, "queued")


async def test_enqueue_and_wait_again(http: Http) -> None:
    """A repeat with the same key enqueues nothing, and answers with the job as it is now."""
    body = {"jobs": [{"image": "i"}]}
    first = await http("POST", "/v1/groups/g/jobs?wait=1", body, Idempotency_Key="k")
    [job] = (await http("GET", "/v1/jobs?group=g")).json["jobs"]
    await succeed(http, job)
    again = await http("POST", "/v1/groups/g/jobs?wait=20", body, Idempotency_Key="k")
    assert (first.status, again.status, again.headers["Idempotency-Replayed"]) == (201, 200, "true")
    assert again.json["jobs"][0]["id"] == first.json["jobs"][0]["id"] == job["id"]
    assert again.json["jobs"][0]["result"] == RESULT


async def test_enqueue_several_and_wait(http: Http) -> None:
    """Only one job can be waited for there: several are refused, and none is enqueued."""
    refused = await http("POST", "/v1/groups/g/jobs?wait=1", {"jobs": [{"image": "i"}] * 2})
    assert (refused.status, refused.problem.fields) == (400, "wait")
    assert (await http("GET", "/v1/groups/g/jobs")).json["jobs"] == []


@pytest.mark.usefixtures("often")
async def test_a_wait_writes_nothing(http: Http, store: Store, snapshot: Callable[[], Awaitable[Any]]) -> None:
    """The store has no key and no field because somebody waits."""
    [job] = await http.running()
    before = await snapshot()
    task = await waiting(http, store, path_of(job, "?wait=1"))
    await eventually(lambda: bool(store.ends._seen))
    assert await snapshot() == before
    await task
    assert await snapshot() == before
