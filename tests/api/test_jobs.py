"""A producer's verbs over HTTP: enqueue, list_jobs, show, remove, cancel, retry."""

import asyncio
from typing import Any

import pytest

from broker.core.ids import is_id
from tests.api.client import NO_JOB, Http

JOBS = "/v1/groups/g/jobs"
BODY = {"jobs": [{"image": "a"}, {"image": "b", "payload": "p"}]}


async def _ids(http: Http, query: str = "") -> list[str]:
    return [job["id"] for job in (await http("GET", f"{JOBS}{query}")).json["jobs"]]


async def test_enqueue_answers_whole_jobs(http: Http) -> None:
    """The answer has the jobs in order, with all their integers and nothing that is not there."""
    reply = await http("POST", JOBS, {"jobs": [{"image": "i"}, {"image": "i", "delay": 5, "payload": "é\n\U0001f600"}]})
    first, second = reply.json["jobs"]
    assert is_id(first.pop("id"))
    assert first.pop("created_at").endswith("Z")
    assert first == {
        "group_name": "g",
        "status": "queued",
        "image": "i",
        "delay": 0,
        "timeout": 60,
        "priority": 0,
        "max_retries": 0,
        "retries_delay": 60,
        "deliveries": 0,
    }
    assert (second["status"], second["delay"], second["payload"]) == ("delayed", 5, "é\n\U0001f600")


async def test_enqueue_at_the_bounds(http: Http) -> None:
    """The least and the most of each field, and of jobs, are taken."""
    most = {"delay": 31_536_000, "timeout": 604_800, "priority": 2, "max_retries": 25, "retries_delay": 31_536_000}
    least = {"delay": 0, "timeout": 1, "priority": 0, "max_retries": 0, "retries_delay": 0}
    jobs = await http.enqueue(most, least, {"image": "x" * 255}, *[{}] * 997)
    assert len(jobs) == 1000
    assert {**jobs[0], **most} == jobs[0]
    assert {**jobs[1], **least} == jobs[1]


async def test_enqueue_again_with_the_same_key(http: Http) -> None:
    """The same Idempotency-Key and body answer the first jobs again, and say so; another body is a 422."""
    first = await http("POST", JOBS, BODY, Idempotency_Key="k")
    again = await http("POST", JOBS, BODY, Idempotency_Key="k")
    assert (again.status, again.json) == (201, first.json)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await http("POST", JOBS, {"jobs": [{"image": "other"}]}, Idempotency_Key="k")
    assert (other.status, other.problem.code) == (422, "idempotency_mismatch")
    assert len(await _ids(http)) == 2


async def test_enqueue_with_the_same_key_at_once(http: Http) -> None:
    """The same key on calls that run at once makes the jobs once."""
    replies = await asyncio.gather(*(http("POST", JOBS, BODY, Idempotency_Key="k" * 255) for _ in range(10)))
    assert all(reply.json == replies[0].json for reply in replies)
    assert sum("Idempotency-Replayed" not in reply.headers for reply in replies) == 1


async def test_list_jobs_in_pages(http: Http) -> None:
    """Pages hang together by their cursors in both orders, whatever comes in between."""
    jobs = [job["id"] for job in await http.enqueue(*[{}] * 7)]
    for order, expected in (("asc", jobs), ("desc", jobs[::-1])):
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await http("GET", f"{JOBS}?n=3&order={order}&cursor={cursor}")).json
            found += [job["id"] for job in page["jobs"]]
            cursor = page.get("cursor")
        assert found == expected


async def test_list_jobs_in_a_status(http: Http) -> None:
    """`status` narrows the list."""
    [running] = await http.running()
    queued = await http.enqueue({}, {"delay": 100})
    assert await _ids(http, "?status=running") == [running["id"]]
    assert await _ids(http, "?status=queued") == [queued[0]["id"]]
    assert await _ids(http, "?status=delayed") == [queued[1]["id"]]
    assert await _ids(http, "?status=failed") == []
    assert await _ids(http, "?status=running&status=delayed") == [running["id"], queued[1]["id"]]
    assert await _ids(http, "?status=&status=queued&status=queued") == [queued[0]["id"]]


async def test_list_jobs_created_after(http: Http) -> None:
    """`created_after` leaves out what is not younger."""
    [job] = await http.enqueue()
    assert await _ids(http, f"?created_after={job['created_at']}") == []
    assert await _ids(http, "?created_after=2020-01-01T00:00:00Z") == [job["id"]]


async def test_show_hides_the_lease(http: Http) -> None:
    """Only the answer that hands a job out has its token."""
    [job] = await http.running()
    assert job["lease"]
    shown = (await http("GET", f"{JOBS}/{job['id']}")).json["job"]
    assert "lease" not in shown
    assert shown["expires_at"] == job["expires_at"]


@pytest.mark.parametrize(("method", "verb"), [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("POST", "/retry")])
async def test_verb_on_no_job(http: Http, method: str, verb: str) -> None:
    """A job that is not there is a 404, in a group that is there and in one that is not."""
    await http.enqueue()
    for group in ("g", "none"):
        reply = await http(method, f"/v1/groups/{group}/jobs/{NO_JOB}{verb}")
        assert (reply.status, reply.problem.code) == (404, "not_found")


@pytest.mark.parametrize("job", [{}, {"delay": 100}])
async def test_remove_of_a_job_that_is_not_finished(http: Http, job: dict[str, Any]) -> None:
    """Only a finished job can be removed; the refusal says what it is now."""
    [made] = await http.enqueue(job)
    reply = await http("DELETE", f"{JOBS}/{made['id']}")
    assert (reply.status, reply.problem.code) == (409, "wrong_state")
    assert made["status"] in reply.problem.message


async def test_remove(http: Http) -> None:
    """A removed job is gone."""
    [job] = await http.enqueue()
    await http("POST", f"{JOBS}/{job['id']}/cancel")
    assert (await http("DELETE", f"{JOBS}/{job['id']}")).status == 204
    assert (await http("GET", f"{JOBS}/{job['id']}")).status == 404
    assert (await http("DELETE", f"{JOBS}/{job['id']}")).status == 404


async def test_cancel_twice(http: Http) -> None:
    """A cancelled job has its reason and time; cancelling it again changes nothing."""
    [job] = await http.enqueue()
    first = (await http("POST", f"{JOBS}/{job['id']}/cancel")).json
    assert (first["job"]["status"], first["job"]["reason"]) == ("cancelled", "client_request")
    assert first["job"]["completed_at"]
    assert (await http("POST", f"{JOBS}/{job['id']}/cancel")).json == first


async def test_retry(http: Http) -> None:
    """Retry answers the new job; the old one leads to it, and cannot be retried again."""
    [job] = await http.running({"payload": "p", "priority": 2, "timeout": 9})
    await http("POST", f"{JOBS}/{job['id']}/error", {"reason": "killed"})
    new = (await http("POST", f"{JOBS}/{job['id']}/retry")).json["job"]
    assert (new["status"], new["retry_of"], new["payload"], new["priority"]) == ("queued", job["id"], "p", 2)
    assert (await http("GET", f"{JOBS}/{job['id']}")).json["job"]["retry_at"] == new["id"]
    again = await http("POST", f"{JOBS}/{job['id']}/retry")
    assert (again.status, again.problem.code) == (409, "wrong_state")


async def test_promote(http: Http) -> None:
    """A delayed job is queued at once; one that is queued is a 409 and stays as it is."""
    [job] = await http.enqueue({"delay": 60})
    promoted = await http("POST", f"{JOBS}/{job['id']}/promote")
    assert promoted.json["job"] == {**job, "status": "queued"}
    again = await http("POST", f"{JOBS}/{job['id']}/promote")
    assert (again.status, again.problem.code) == (409, "wrong_state")
    assert [taken["id"] for taken in (await http("GET", "/v1/jobs")).json["jobs"]] == [job["id"]]
