"""Bulks over HTTP: begin, watch, stop; filters, limits and refusals."""

import asyncio
from typing import Any

import pytest

from broker.reaper import bulk_pace, bulk_work
from broker.store import bulk_look
from tests.api.bulk_client import BULK, JOBS, bulk, ended, failed, jobs_of, payloads
from tests.api.client import NO_JOB, Http
from tests.stores import Store


async def test_bulk_retries_what_failed(http: Http) -> None:
    """Each failed job is retried once; those that were retried already are skipped, others are not touched."""
    jobs = await failed(http, *[{"payload": str(i)} for i in range(7)])
    await http("POST", f"{JOBS}/{jobs[0]['id']}/retry")
    await http.enqueue({"payload": "other"})
    found = await bulk(http, "retry")
    assert (found["state"], found["matched"], found["done"], found["looked"], found["about"]) == ("done", 7, 6, 7, 7)
    assert (found["skipped"], found["refused"], "why" in found) == ({"already_retried": 1}, {}, False)
    queued = await jobs_of(http, "queued")
    assert payloads(queued) == ["0", "1", "2", "3", "4", "5", "6", "other"]
    assert {job.get("retry_of") for job in queued} == {None, *(job["id"] for job in jobs)}
    assert (await bulk(http, "retry"))["done"] == 0


async def test_bulk_in_the_log(http: Http, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """How far it is, and its end, are lines of their own."""
    caplog.set_level("INFO")
    monkeypatch.setattr(bulk_work, "SAY_S", 0)
    await http.enqueue({}, {})
    assert (await bulk(http, "cancel"))["state"] == "done"
    names = [record.event for record in caplog.records if hasattr(record, "bulk")]
    assert set(names) == {"bulk.progress", "bulk.done"}
    [last] = [record for record in caplog.records if getattr(record, "event", "") == "bulk.done"]
    assert (last.group, last.done) == ("g", 2)


async def test_bulk_cancels(http: Http) -> None:
    """Without a status all unfinished jobs are cancelled."""
    await http.running({})
    await http.enqueue({}, {"delay": 60})
    await failed(http, {})
    found = await bulk(http, "cancel")
    assert (found["matched"], found["done"], found["status"]) == (3, 3, [])
    assert len(await jobs_of(http, "cancelled")) == 3
    assert len(await jobs_of(http, "failed")) == 1


async def test_bulk_cancels_in_a_status(http: Http) -> None:
    """With statuses only jobs in these."""
    await http.enqueue({}, {}, {"delay": 60})
    assert (await bulk(http, "cancel", status=["delayed"]))["done"] == 1
    assert len(await jobs_of(http, "queued")) == 2


async def test_bulk_deletes(http: Http, store: Store) -> None:
    """Finished jobs go, and their logs are left to the reaper."""
    [job] = await failed(http, {})
    await http("POST", f"{JOBS}/{job['id']}/log", "hello\n", Content_Type="text/plain")
    await http.enqueue()
    assert (await bulk(http, "delete"))["done"] == 1
    assert [job["status"] for job in (await http("GET", JOBS)).json["jobs"]] == ["queued"]
    assert await store.discarded(10) == [job["id"]]


async def test_bulk_promotes(http: Http) -> None:
    """Delayed jobs are queued."""
    await http.enqueue({"delay": 60}, {"delay": 60}, {})
    assert (await bulk(http, "promote"))["done"] == 2
    assert len(await jobs_of(http, "queued")) == 3


async def test_bulk_with_filters(http: Http) -> None:
    """Only jobs that match every filter."""
    given = [
        {"image": "a", "payload": "to: ann"},
        {"image": "a", "payload": "to: bob"},
        {"image": "b", "payload": "to: ann"},
    ]
    jobs = await failed(http, *given, reasons=["killed", "bad_exit", "killed"])
    await http("POST", f"{JOBS}/{jobs[0]['id']}/retry")
    for filters, matched in (
        ({"image": "a"}, 2),
        ({"reason": "killed"}, 2),
        ({"text": "ann"}, 2),
        ({"text": "to: "}, 3),
        ({"text": "carl"}, 0),
        ({"image": "a", "text": "ann"}, 1),
        ({"retried": True}, 1),
        ({"retried": False}, 2),
        ({"older_than": 0}, 3),
        ({"older_than": 3600}, 0),
        ({"created_before": "2001-01-01T00:00:00Z"}, 0),
        ({"created_after": "2001-01-01T00:00:00Z"}, 3),
        ({"created_after": jobs[0]["created_at"]}, 0),
        ({"status": ["cancelled"]}, 0),
        ({"status": ["cancelled", "failed"]}, 3),
    ):
        found = await bulk(http, "retry", dry_run=True, **filters)
        assert found["matched"] == matched, filters
        assert found.items() >= filters.items()


async def test_bulk_of_a_cause(http: Http) -> None:
    """An action on a cause is done to exactly its jobs: to no others with its reason, and no others with its error."""
    ends = [("exit", "no user 1"), ("exit", "no user 2"), ("exit", "refused"), ("", "no user 3")]
    for number, job in enumerate(await http.running(*({"payload": str(i)} for i in range(len(ends))))):
        reason, error = ends[number]
        await http("POST", f"{JOBS}/{job['id']}/error", {"reason": reason, "error": error, "lease": job["lease"]})
    causes = (await http("GET", "/v1/groups/g/failures")).json["causes"]
    for cause, payload in zip(causes, (["0", "1"], ["3"], ["2"]), strict=True):
        counted = await bulk(http, "retry", cause=cause["cause"], dry_run=True)
        assert (counted["matched"], counted["cause"]) == (cause["n"], cause["cause"])
        before = payloads(await jobs_of(http, "queued"))
        assert (await bulk(http, "retry", cause=cause["cause"], at_most=cause["n"]))["done"] == cause["n"]
        assert payloads(await jobs_of(http, "queued")) == sorted(before + payload)
    assert (await bulk(http, "delete", cause=causes[0]["cause"]))["done"] == 2
    assert payloads(await jobs_of(http, "failed")) == ["2", "3"]


async def test_bulk_dry_run_changes_nothing(http: Http, snapshot: Any) -> None:
    """A dry run counts, and nothing of the group changes."""
    await failed(http, {}, {})
    before = await snapshot()
    found = await bulk(http, "delete", dry_run=True, at_most=1)
    assert (found["state"], found["matched"], found["done"], found["dry_run"]) == ("done", 2, 0, True)
    after = await snapshot()
    assert {key for key in after if b":bulk" not in key} == set(before)


async def test_bulk_of_many_pages(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and chunks together have each job once, although jobs leave the set that is read."""
    monkeypatch.setattr(bulk_look, "PAGE", 7)
    monkeypatch.setattr(bulk_pace, "CHUNK", 3)
    await http.enqueue(*[{"payload": str(i), "delay": 60 * (i % 2)} for i in range(50)])
    found = await bulk(http, "cancel")
    assert (found["matched"], found["done"], found["looked"], found["skipped"]) == (50, 50, 50, {})
    assert len(await jobs_of(http, "cancelled")) == 50


async def test_bulk_with_a_limit(http: Http) -> None:
    """The limit is reached, then it is done."""
    await http.enqueue(*[{}] * 10)
    found = await bulk(http, "cancel", limit=4)
    assert (found["state"], found["matched"], found["done"]) == ("done", 4, 4)
    assert len(await jobs_of(http, "queued")) == 6


async def test_bulk_with_more_than_at_most(http: Http) -> None:
    """Where the number is known before, more than at_most is a 409, and nothing is done."""
    await http.enqueue(*[{}] * 10)
    refused = await http("POST", BULK, {"action": "cancel", "at_most": 9})
    assert (refused.status, refused.problem.code) == (409, "too_many")
    assert len(await jobs_of(http, "queued")) == 10
    assert (await bulk(http, "cancel", at_most=10))["state"] == "done"


async def test_bulk_stops_at_at_most(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where filters must look first, it stops before the first job that is too many."""
    monkeypatch.setattr(bulk_look, "PAGE", 4)
    await http.enqueue(*[{"payload": "x"}] * 10)
    found = await bulk(http, "cancel", text="x", at_most=5)
    assert (found["state"], found["why"], found["done"]) == ("stopped", "too_many", 5)
    assert found["matched"] > 5
    assert len(await jobs_of(http, "queued")) == 5


async def test_bulk_ends_with_jobs_from_before(http: Http, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is enqueued after the bulk began is not looked for."""
    monkeypatch.setattr(bulk_look, "PAGE", 2)
    await http.enqueue(*[{}] * 4)
    reply = await http("POST", BULK, {"action": "cancel", "rate": 20})
    await http.enqueue({"payload": "new"}, {"payload": "new"})
    found = await ended(http, reply)
    assert (found["matched"], found["done"]) == (4, 4)
    assert payloads(await jobs_of(http, "queued")) == ["new", "new"]


async def test_bulk_stop(http: Http) -> None:
    """A bulk that is stopped ends; what was done stays, and the rest is as it was."""
    await http.enqueue(*[{}] * 100)
    reply = await http("POST", BULK, {"action": "cancel", "rate": 10})
    bulk_id = reply.json["bulk"]["id"]
    stopped = await http("DELETE", f"/v1/bulk/{bulk_id}")
    assert (stopped.status, stopped.json["bulk"]["state"]) == (200, "stopping")
    found = await ended(http, reply)
    assert (found["state"], found["why"]) == ("stopped", "asked")
    assert found["done"] == len(await jobs_of(http, "cancelled")) < 100
    again = await http("DELETE", f"/v1/bulk/{bulk_id}")
    assert again.json["bulk"] == found


async def test_bulk_again_with_the_same_key(http: Http) -> None:
    """A repeat with the same Idempotency-Key is the same bulk; another body is a 422."""
    await http.enqueue({}, {})
    body = {"action": "cancel"}
    first = await http("POST", BULK, body, Idempotency_Key="k")
    second = await http("POST", BULK, body, Idempotency_Key="k")
    assert (second.status, second.headers.get("Idempotency-Replayed")) == (202, "true")
    assert second.json["bulk"]["id"] == first.json["bulk"]["id"]
    other = await http("POST", BULK, {"action": "promote"}, Idempotency_Key="k")
    assert (other.status, other.problem.code) == (422, "idempotency_mismatch")
    await http.enqueue(group="h")
    elsewhere = await http("POST", "/v1/groups/h/bulk", body, Idempotency_Key="k")
    assert elsewhere.json["bulk"]["id"] != first.json["bulk"]["id"]
    await ended(http, first)
    await ended(http, elsewhere)
    assert len((await http("GET", "/v1/bulk")).json["bulks"]) == 2


async def test_bulk_of_too_many_at_once(http: Http) -> None:
    """Five run at most; a sixth is a 429, until one has ended."""
    await http.enqueue(*[{}] * 50)
    running = [await http("POST", BULK, {"action": "cancel", "rate": 1}) for _ in range(5)]
    refused = await http("POST", BULK, {"action": "cancel"})
    assert (refused.status, refused.problem.code) == (429, "limit_reached")
    for reply in running:
        await http("DELETE", f"/v1/bulk/{reply.json['bulk']['id']}")
        await ended(http, reply)
    assert (await bulk(http, "cancel"))["state"] == "done"


async def test_list_bulks_in_pages(http: Http) -> None:
    """The newest is first, and cursors lead to the oldest."""
    await http.enqueue()
    made = [(await bulk(http, "cancel", dry_run=True))["id"] for _ in range(5)]
    found, cursor = [], ""
    while cursor or not found:
        page = (await http("GET", f"/v1/bulk?n=2&cursor={cursor}")).json
        found += [one["id"] for one in page["bulks"]]
        cursor = page.get("cursor", "")
    assert found == made[::-1]


async def test_bulk_that_does_not_exist(http: Http) -> None:
    """An unknown bulk, or group, is a 404."""
    for method, path in (("GET", f"/v1/bulk/{NO_JOB}"), ("DELETE", f"/v1/bulk/{NO_JOB}"), ("GET", "/v1/bulk/x")):
        reply = await http(method, path)
        assert (reply.status, reply.problem.code) == (404, "not_found")
        assert "bulk" in reply.problem.message
    assert (await http("POST", BULK, {"action": "cancel"})).status == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "action"),
        ({"action": "pause"}, "action"),
        ({"action": "retry", "status": ["queued"]}, "status"),
        ({"action": "cancel", "status": ["failed"]}, "status"),
        ({"action": "cancel", "status": ["nothing"]}, "status[0]"),
        ({"action": "cancel", "text": "x" * 257}, "text"),
        ({"action": "delete", "text": ""}, "text"),
        ({"action": "delete", "image": ""}, "image"),
        ({"action": "delete", "reason": ""}, "reason"),
        ({"action": "delete", "cause": ""}, "cause"),
        ({"action": "retry", "cause": "no user"}, "cause"),
        ({"action": "cancel", "rate": 0}, "rate"),
        ({"action": "cancel", "limit": 0}, "limit"),
        ({"action": "cancel", "older_than": -1}, "older_than"),
        ({"action": "cancel", "created_before": "yesterday"}, "created_before"),
        ({"action": "cancel", "created_after": "yesterday"}, "created_after"),
        (
            {
                "action": "cancel",
                "created_after": "2026-01-02T00:00:00Z",
                "created_before": "2026-01-02T00:00:00Z",
            },
            "created_before",
        ),
        ({"action": "cancel", "dryrun": True}, "dryrun"),
        ({"action": "retry", "completed_before": "yesterday"}, "completed_before"),
        ({"action": "delete", "completed_after": "10:00"}, "completed_after"),
        ({"action": "cancel", "completed_after": "2026-01-02T00:00:00Z"}, "completed_after"),
        ({"action": "promote", "completed_before": "2026-01-02T00:00:00Z"}, "completed_before"),
        (
            {
                "action": "retry",
                "completed_after": "2026-01-02T00:00:00Z",
                "completed_before": "2026-01-02T00:00:00Z",
            },
            "completed_before",
        ),
        ({"action": "retry", "ids": []}, "ids"),
        ({"action": "retry", "ids": [NO_JOB] * 1001}, "ids"),
        ({"action": "retry", "ids": [NO_JOB, "x"]}, "ids[1]"),
        ({"action": "retry", "ids": [NO_JOB], "reason": "killed"}, "reason"),
        ({"action": "retry", "ids": [NO_JOB], "status": ["failed"]}, "status"),
        ({"action": "retry", "ids": [NO_JOB], "retried": False}, "retried"),
        ({"action": "cancel", "set": {"timeout": 5}}, "set"),
        ({"action": "delete", "set": {}}, "set"),
        ({"action": "retry", "set": {"timeot": 5}}, "set.timeot"),
        ({"action": "retry", "set": {"id": NO_JOB}}, "set.id"),
        ({"action": "retry", "set": {"timeout": 0}}, "set.timeout"),
        ({"action": "retry", "set": {"priority": 3}}, "set.priority"),
        ({"action": "retry", "set": {"max_retries": 26}}, "set.max_retries"),
        ({"action": "retry", "set": {"retries_delay": -1}}, "set.retries_delay"),
        ({"action": "retry", "set": {"delay": "5"}}, "set.delay"),
        ({"action": "retry", "set": {"image": "a\nb"}}, "set.image"),
        ({"action": "retry", "set": {"payload": {"to": "ann"}}}, "set.payload"),
        ({"action": "retry", "set": {"payload": "x" * (1024 * 1024 + 1)}}, "set.payload"),
        ({"action": "retry", "set": {"image": None}}, "set.image"),
    ],
)
async def test_bulk_with_a_bad_body(http: Http, body: dict[str, Any], field: str) -> None:
    """What is missing, unknown or out of bounds is a 400 that names it, and nothing begins."""
    await http.enqueue()
    reply = await http("POST", BULK, body)
    assert (reply.status, reply.problem.fields) == (400, field), reply
    assert (await http("GET", "/v1/bulk")).json == {"bulks": []}


async def test_bulk_does_no_more_than_its_limit(http: Http) -> None:
    """The limit counts before at_most does: more jobs that match are no surprise then."""
    await failed(http, {}, {}, {}, {}, {}, reasons=["x"] * 5)
    found = await bulk(http, "retry", reason="x", limit=2, at_most=3)
    assert (found["state"], found["matched"], found["done"]) == ("done", 2, 2)
    assert (await bulk(http, "retry", reason="x", retried=False, limit=3, at_most=2))["why"] == "too_many"
    refused = await http("POST", BULK, {"action": "retry", "limit": 10**9 + 1})
    assert (refused.status, refused.problem.fields) == (400, "limit")


async def test_bulk_leaves_out_what_was_not_given(http: Http) -> None:
    """What was not given is no field of an answer, as everywhere."""
    await http.enqueue({})
    found = await bulk(http, "cancel", limit=1)
    assert found["limit"] == 1
    assert not found.keys() & {"image", "reason", "cause", "rate", "at_most", "retried", "why"}
    assert None not in found.values()


async def test_bulk_is_audited(http: Http) -> None:
    """The audit has the beginning, the end with the number of jobs, and who stopped one."""
    await http.enqueue({}, {})
    found = await bulk(http, "cancel")
    async with asyncio.timeout(10):
        while len(entries := (await http("GET", "/v1/audit")).json["entries"]) < 2:
            await asyncio.sleep(0.01)
    last, first = entries
    assert (first["act"], first["group"], first["ids"], first["outcome"]) == ("bulk", "g", [found["id"]], "ok")
    assert first["detail"] == "cancel of delayed, queued, running"
    assert (last["act"], last["n"], last["outcome"], last["ids"]) == ("bulk", 2, "done", [found["id"]])
    assert last["detail"] == "end of cancel"
