"""Failed jobs put back after an outage: by their end or by id, with changes, and no more than a group may have."""

import asyncio
from typing import Any

import pytest

from broker.core.errors import StoreDamaged
from broker.core.timestamps import milliseconds, rfc3339
from broker.http.app import DISPATCHER
from broker.reaper import bulk_work
from broker.store import bulk_look
from broker.store.bulk_look import Looked
from broker.store.group_limits import GroupLimits
from tests.api.bulk_client import BULK, JOBS, bulk, ended, failed, jobs_of, payloads, until
from tests.api.client import NO_JOB, Http
from tests.stores import Store


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A paused bulk looks often whether there is room."""
    monkeypatch.setattr(bulk_work, "PAUSE_S", 0.02)


def figures(http: Http) -> dict[str, float]:
    """What the metrics say of bulks, without what did not happen: by name, or by action and outcome."""
    found = [
        (one.name, sample) for one in http.runner.app[DISPATCHER].context.bulks.families() for sample in one.samples
    ]
    return {" ".join(sample.labels.values()) or name: sample.value for name, sample in found if sample.value}


def shifted(time: str, ms: int) -> str:
    """A time some ms later."""
    return rfc3339(milliseconds(time) + ms)


async def shown(http: Http, job_id: str) -> dict[str, Any]:
    """A job."""
    return (await http("GET", f"{JOBS}/{job_id}")).json["job"]


async def test_bulk_of_jobs_that_ended_in_a_time(http: Http) -> None:
    """Jobs by when they ended, both times exclusive, together with other filters; a list has the same jobs."""
    [early] = await failed(http, {"payload": "early"}, reasons=["x"])
    at = (await shown(http, early["id"]))["completed_at"]
    await asyncio.sleep(0.005)
    await failed(http, {"payload": "late"}, {"payload": "other"}, reasons=["x", "y"])
    await http.enqueue({"payload": "waits"})
    for filters, wanted in (
        ({"completed_after": at}, ["late", "other"]),
        ({"completed_after": at, "reason": "x"}, ["late"]),
        ({"completed_before": shifted(at, 1)}, ["early"]),
        ({"completed_before": at}, []),
        ({"completed_after": shifted(at, -1), "completed_before": shifted(at, 1)}, ["early"]),
        ({"completed_after": shifted(at, -1), "completed_before": shifted(at, 3_600_000)}, ["early", "late", "other"]),
    ):
        counted = await bulk(http, "retry", dry_run=True, **filters)
        assert counted["matched"] == len(wanted), filters
        assert counted.items() >= filters.items()
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        assert payloads((await http("GET", f"{JOBS}?{query}")).json["jobs"]) == wanted
    await bulk(http, "retry", completed_after=at, reason="x")
    assert payloads(await jobs_of(http, "queued")) == ["late", "waits"]
    assert (await bulk(http, "delete", completed_before=shifted(at, 1)))["done"] == 1
    assert payloads(await jobs_of(http, "failed")) == ["late", "other"]


@pytest.mark.parametrize("name", ["completed_after", "completed_before"])
async def test_list_with_a_bad_time(http: Http, name: str) -> None:
    """A text that is no time is a 400 that names the parameter."""
    reply = await http("GET", f"{JOBS}?{name}=10:00")
    assert (reply.status, reply.problem.fields) == (400, name)


async def test_bulk_of_named_jobs(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly these jobs, each once, in whichever status the action takes; others are counted by why not."""
    monkeypatch.setattr(bulk_look, "PAGE", 2)
    first, second, other = await failed(http, {"payload": "1"}, {"payload": "2"}, {"payload": "3"})
    waiting, running = [(await http.enqueue({"payload": "w"}))[0] for _ in range(2)]
    await http("POST", f"{JOBS}/{running['id']}/start")
    [elsewhere] = await http.enqueue(group="h")
    [off] = await http.enqueue({"payload": "off"})
    await http("POST", f"{JOBS}/{off['id']}/cancel")
    named = [first["id"], NO_JOB, waiting["id"], off["id"], first["id"], elsewhere["id"], running["id"], second["id"]]
    wrong = {"gone": 2, "wrong_state": 2}
    counted = await bulk(http, "retry", ids=named, dry_run=True)
    assert (counted["matched"], counted["done"], counted["skipped"], counted["ids"]) == (3, 0, wrong, named)
    found = await bulk(http, "retry", ids=named)
    assert (found["matched"], found["done"], found["skipped"], found["looked"], found["about"]) == (3, 3, wrong, 7, 7)
    assert payloads(await jobs_of(http, "queued")) == ["1", "2", "off", "w"]
    assert (await bulk(http, "retry", ids=named[:1]))["skipped"] == {"already_retried": 1}
    assert (await bulk(http, "cancel", ids=[waiting["id"], running["id"], other["id"]]))["done"] == 2
    assert (await bulk(http, "delete", ids=[other["id"]]))["done"] == 1


async def test_bulk_of_a_thousand_named_jobs(http: Http) -> None:
    """D7: not one call for each job. A thousand ids are one call."""
    jobs = await failed(http, *[{"payload": str(number)} for number in range(100)])
    named = [job["id"] for job in jobs] + [f"{number:016}" for number in range(900)]
    found = await bulk(http, "retry", ids=named)
    assert (found["done"], found["skipped"]) == (100, {"gone": 900})


async def test_bulk_with_changes(http: Http) -> None:
    """The new jobs have what `set` gives, and for null the default; a plain retry has all of the old one."""
    given = {"payload": "old", "timeout": 7, "priority": 2, "retries_delay": 3}
    await http("PUT", "/v1/groups/g", {"group": {"image": "of-the-group"}})
    await failed(http, given)
    changes = {"timeout": 120, "priority": None, "payload": "new", "image": None, "max_retries": 3, "delay": 60}
    counted = await bulk(http, "retry", set=changes, dry_run=True)
    assert (counted["matched"], counted["set"]) == (1, changes)
    assert await jobs_of(http, "delayed") == []
    await bulk(http, "retry", set=changes)
    [new] = await jobs_of(http, "delayed")
    wanted = changes | {"priority": 0, "image": "of-the-group", "retries_delay": 3}
    assert {name: new.get(name, 0) for name in wanted} == wanted
    assert (await http("GET", "/v1/bulk")).json["bulks"][0]["set"] == changes


async def test_bulk_with_a_large_payload_in_lists(http: Http) -> None:
    """A list of bulks has the beginning of the payload, one bulk has the whole."""
    await http.enqueue()
    found = await bulk(http, "retry", set={"payload": "x" * 1000, "timeout": 5})
    assert found["set"]["payload"] == "x" * 1000
    [listed] = (await http("GET", "/v1/bulk")).json["bulks"]
    assert listed["set"] == {"payload": "x" * 256, "timeout": 5}


async def test_bulk_suggests_the_field_that_is_meant(http: Http) -> None:
    """A misspelt name in `set` is refused with the nearest known one."""
    reply = await http("POST", BULK, {"action": "retry", "set": {"retry_delay": 5}})
    assert "did you mean retries_delay?" in reply.problem.message


async def test_bulk_that_is_begun_twice(http: Http) -> None:
    """D8: two clicks are two bulks at once over the same jobs, and each job is retried once."""
    jobs = await failed(http, *[{"payload": str(number)} for number in range(120)])
    body = {"action": "retry", "set": {"timeout": 9}}
    both = await asyncio.gather(*(http("POST", BULK, body) for _ in range(2)))
    found = [await ended(http, reply) for reply in both]
    assert sum(one["done"] for one in found) == len(jobs)
    assert sum(one["skipped"].get("already_retried", 0) for one in found) == len(jobs)
    assert sorted(job["retry_of"] for job in await jobs_of(http, "queued")) == sorted(job["id"] for job in jobs)


async def test_bulk_with_a_key_is_begun_once(http: Http) -> None:
    """D8: with an Idempotency-Key the second click is the first bulk."""
    await failed(http, {}, {})
    body = {"action": "retry", "ids": [NO_JOB], "set": {"payload": None}}
    first, second = [await http("POST", BULK, body, Idempotency_Key="k") for _ in range(2)]
    assert first.json["bulk"]["id"] == second.json["bulk"]["id"]
    other = await http("POST", BULK, body | {"set": {"payload": "x"}}, Idempotency_Key="k")
    assert (other.status, other.problem.code) == (422, "idempotency_mismatch")


async def test_bulk_of_a_full_group(http: Http, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    """D9: a group at its limit pauses the bulk, which says why, and continues by itself when there is room."""
    jobs = await failed(http, *[{"payload": str(number)} for number in range(9)])
    monkeypatch.setattr(store.bulks, "_limits", GroupLimits(4, 0))
    reply = await http("POST", BULK, {"action": "retry"})
    paused = await until(http, reply, "paused")
    assert (paused["done"], paused["refused"], "why" in paused) == (4, {}, False)
    assert paused["paused_because"] == "The group has 4 unfinished jobs, and may have 4."
    assert (await http("GET", "/v1/bulk")).json["bulks"][0]["state"] == "paused"
    assert figures(http) == {"titan_bulk_running": 1, "titan_bulk_waiting": 1, "retry done": 4}
    while paused["state"] == "paused":
        for job in await jobs_of(http, "queued"):
            await http("POST", f"{JOBS}/{job['id']}/cancel")
        paused = await until(http, reply, "paused", "done")
    assert (paused["state"], paused["matched"], paused["done"], paused["skipped"]) == ("done", 9, 9, {})
    assert "paused_because" not in paused
    assert figures(http)["retry done"] == 9
    assert sorted(job["retry_of"] for job in await jobs_of(http, "queued", "cancelled")) == sorted(
        job["id"] for job in jobs
    )


async def test_bulk_that_is_paused_is_stopped(http: Http, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    """A paused bulk ends when somebody stops it; the jobs that waited stay as they were."""
    await failed(http, {}, {}, {})
    monkeypatch.setattr(store.bulks, "_limits", GroupLimits(1, 0))
    reply = await http("POST", BULK, {"action": "retry"})
    paused = await until(http, reply, "paused")
    await http("DELETE", f"/v1/bulk/{paused['id']}")
    found = await ended(http, reply)
    assert (found["state"], found["why"], found["done"], "paused_because" in found) == ("stopped", "asked", 1, False)
    assert [bool(job.get("retry_at")) for job in await jobs_of(http, "failed")].count(True) == 1


async def test_bulk_of_a_job_that_is_too_large(http: Http, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    """A job that no empty group has room for is refused: the bulk does not wait for what cannot be."""
    await failed(http, {"payload": "x" * 500}, {})
    monkeypatch.setattr(store.bulks, "_limits", GroupLimits(0, 100))
    found = await bulk(http, "retry")
    assert (found["state"], found["done"], found["refused"]) == ("done", 1, {"limit_reached": 1})


async def test_bulk_of_a_damaged_store(http: Http, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that does not go away ends the bulk: it is failed, says why, and runs no longer."""
    await failed(http, {})
    monkeypatch.setattr(bulk_work, "look", _damaged)
    found = await bulk(http, "retry")
    assert (found["state"], found["why"], "ended_at" in found) == ("failed", StoreDamaged.sentence, True)
    assert await store.bulks.take("other") is None


async def _damaged(*_: object) -> Looked:
    raise StoreDamaged


async def test_bulk_is_audited_with_its_changes(http: Http) -> None:
    """The audit says how many jobs were named and what is changed, without the payload itself."""
    await http.enqueue()
    await bulk(http, "retry", ids=[NO_JOB, "1" * 16], set={"payload": "secret", "timeout": None})
    async with asyncio.timeout(10):
        while len(entries := (await http("GET", "/v1/audit")).json["entries"]) < 2:
            await asyncio.sleep(0.01)
    assert entries[-1]["detail"] == "retry of 2 jobs, with another payload, timeout"
