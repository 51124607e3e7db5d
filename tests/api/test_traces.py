"""The trace context of jobs: from the headers or the fields of an enqueue to the consumer, and what keeps it."""

from typing import Any

import pytest

from tests.api.client import Http
from tests.stores import Store

JOBS = "/v1/groups/g/jobs"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
STATE = 'a=1 "two" \\ %20{x},b@c=timeout":9'


@pytest.fixture
def backend() -> str:
    """The server that production runs: scripts read the settings of a job as text."""
    return "valkey"


async def enqueue(http: Http, *jobs: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    body = {"jobs": [{"image": "i", **job} for job in jobs or [{}]]}
    reply = await http("POST", JOBS, body, **headers)
    assert reply.status == 201, reply
    return list(reply.json["jobs"])


async def taken(http: Http, n: int = 1, group: str = "g") -> list[dict[str, Any]]:
    reply = await http("GET", f"/v1/jobs?n={n}&group={group}")
    return list(reply.json["jobs"])


def trace(job: dict[str, Any]) -> tuple[Any, Any]:
    return job.get("traceparent"), job.get("tracestate")


async def test_headers_of_an_enqueue(http: Http) -> None:
    """Each job of the call has the trace, in the answer, to the consumer and when it is shown."""
    made = await enqueue(http, {}, {"payload": "x"}, traceparent=PARENT, tracestate=STATE)
    got = await taken(http, 2)
    shown = [(await http("GET", f"{JOBS}/{job['id']}")).json["job"] for job in made]
    assert [trace(job) for job in (*made, *got, *shown)] == [(PARENT, STATE)] * 6
    assert {job["timeout"] for job in got} == {60}


async def test_fields_of_a_job_win(http: Http) -> None:
    """A job with a trace of its own keeps it, without the tracestate of the call."""
    made = await enqueue(http, {"traceparent": OTHER}, {}, {"traceparent": "x"}, traceparent=PARENT, tracestate="a=1")
    assert [trace(job) for job in made] == [(OTHER, None), (PARENT, "a=1"), (PARENT, "a=1")]


@pytest.mark.parametrize(
    "given",
    [
        "",
        "x",
        PARENT.upper(),
        PARENT + "-00",
        "ff" + PARENT[2:],
        "00-" + "0" * 32 + PARENT[35:],
        PARENT[:36] + "0" * 16 + "-01",
        PARENT + " x",
    ],
)
async def test_traceparent_that_is_not_valid(http: Http, store: Store, given: str) -> None:
    """It is ignored, with its tracestate: the job is as without it, also in the store."""
    [job] = await enqueue(http, traceparent=given, tracestate="a=1")
    [other] = await enqueue(http, {"traceparent": given, "tracestate": "a=1"})
    assert (trace(job), trace(other)) == ((None, None), (None, None))
    assert b"trace" not in b"".join(await store.redis.hvals(f"{store.partitions[0]}:jobs"))


@pytest.mark.parametrize("given", ["", "=1", "A=1", "a", "a=1\x7f", "a=" + "x" * 511, "a=1,", ",".join(["a=1"] * 33)])
async def test_tracestate_that_is_not_valid(http: Http, given: str) -> None:
    """It alone is ignored. An empty member is allowed."""
    [job] = await enqueue(http, {"traceparent": PARENT, "tracestate": given})
    assert trace(job) == (PARENT, "a=1" if given == "a=1," else None)


async def test_plain_jobs_have_no_byte_more(http: Http, store: Store) -> None:
    """A job without a trace is stored as before."""
    [job] = await enqueue(http)
    kept = await store.redis.hget(f"{store.partitions[0]}:jobs", job["id"])
    assert kept.startswith(b"g ")


async def test_retries_and_dead_letters_keep_it(http: Http, store: Store) -> None:
    """An automatic retry, one by hand, one under a policy and a dead letter belong to the same trace."""
    await http("PUT", "/v1/groups/g", {"group": {"dead_letter_to": "dead"}})
    jobs = [{"max_retries": 1, "retries_delay": 0}, {"max_retries": 1}, {"retry": {"max": 1, "delay": 0}}, {}]
    made = await enqueue(http, *jobs, traceparent=PARENT, tracestate=STATE)
    for job in await taken(http, 4):
        await http("POST", f"{JOBS}/{job['id']}/error", {"lease": job["lease"]})
    by_hand = (await http("POST", f"{JOBS}/{made[3]['id']}/retry")).json["job"]
    await store.maintenance.reap(10)
    again, dead = await taken(http, 4), await taken(http, 1, "dead")
    assert {job["id"] for job in again} == {made[2]["id"], by_hand["id"], again[0]["id"]}
    delayed = (await http("GET", f"{JOBS}?status=delayed")).json["jobs"]
    assert [job["retry_of"] for job in (*delayed, *dead)] == [made[1]["id"], made[3]["id"]]
    assert {trace(job) for job in (*again, *delayed, *dead)} == {(PARENT, STATE)}


async def test_batch_and_callbacks_keep_it(http: Http, store: Store) -> None:
    """Members and callbacks of a batch belong to the trace of the call that made it."""
    batch = {"jobs": [{"image": "i"}], "on_over": {"image": "c"}, "open": True}
    reply = await http("POST", "/v1/groups/g/batches", {"batch": batch}, traceparent=PARENT, tracestate="a=1")
    path = f"/v1/groups/g/batches/{reply.json['batch']['id']}"
    added = await http("POST", f"{path}/jobs", {"jobs": [{"image": "i"}]}, traceparent=OTHER)
    assert trace(added.json["jobs"][0]) == (OTHER, None)
    await http("POST", f"{path}/close")
    for job in await taken(http, 2):
        await http("POST", f"{JOBS}/{job['id']}/success", {"lease": job["lease"]})
    await store.maintenance.settle(10)
    [callback] = await taken(http)
    assert callback["image"] == "c"
    assert trace(callback) == (PARENT, "a=1")


async def test_job_with_other_fields_keeps_it(http: Http) -> None:
    """Deadlines, keys and dependencies go another way into the store, with the trace."""
    jobs = [{"ref": "a", "start_within": 60}, {"after": ["a"]}, {"unique": {"key": "k"}}, {"delay": 60}]
    made = await enqueue(http, *jobs, traceparent=PARENT)
    shown = [(await http("GET", f"{JOBS}/{job['id']}")).json["job"] for job in made]
    assert [trace(job) for job in (*made, *shown)] == [(PARENT, None)] * 8


async def test_schedule_keeps_it(http: Http) -> None:
    """The job of a schedule may have a trace, which each of its jobs has."""
    job = {"image": "i", "traceparent": PARENT, "tracestate": "a=1"}
    path = "/v1/groups/g/schedules/s"
    assert (await http("PUT", path, {"schedule": {"every": 3600, "job": job}})).status == 201
    made = (await http("POST", f"{path}/run")).json["job"]
    assert trace(made) == (PARENT, "a=1")


async def test_idempotency_key_with_another_trace(http: Http) -> None:
    """A repeat of a call is the same call, though its trace is another one."""
    bodies: list[dict[str, Any]] = [{}, {"start_within": 60}]
    for number, job in enumerate(bodies):
        made = []
        for parent in (PARENT, OTHER):
            made += await enqueue(http, job, traceparent=parent, Idempotency_Key=f"key-{number}")
        assert made[0]["id"] == made[1]["id"]
    batch = {"batch": {"jobs": [{"image": "i"}]}}
    ids = set()
    for parent in (PARENT, OTHER):
        reply = await http("POST", "/v1/groups/g/batches", batch, traceparent=parent, Idempotency_Key="of-batch")
        ids.add(reply.json["batch"]["id"])
    assert len(ids) == 1


async def test_trace_survives_an_unlikely_script(http: Http, store: Store) -> None:
    """A job with every escaped character is found, listed, and removed by the scripts that read its settings."""
    [job] = await enqueue(http, {"max_retries": 3, "traceparent": PARENT, "tracestate": STATE})
    assert (await http("GET", f"{JOBS}?status=queued")).json["jobs"][0]["tracestate"] == STATE
    [got] = await taken(http)
    await http("POST", f"{JOBS}/{got['id']}/success", {"lease": got["lease"]})
    assert (await http("DELETE", f"{JOBS}/{job['id']}")).status == 204
    assert await store.jobs.list("g", 10) == ([], "")
