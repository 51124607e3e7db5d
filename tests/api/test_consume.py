"""A consumer's verbs over HTTP: start, touch, succeed, fail, release, and the lease token."""

from typing import Any

import pytest

from broker.core.timestamps import milliseconds
from tests.api.client import NO_JOB, Http, Reply

REPORTS = ("start", "touch", "success", "error", "release")


async def _report(http: Http, job: dict[str, Any], verb: str, body: Any = None, **headers: str) -> Reply:
    return await http("POST", f"/v1/groups/g/jobs/{job['id']}/{verb}", body, **headers)


@pytest.mark.parametrize("verb", REPORTS)
async def test_report_with_its_lease(http: Http, verb: str) -> None:
    """The token of the delivery is taken from the header or the body; the header goes before."""
    jobs = await http.running({}, {}, {})
    expected = 204 if verb == "touch" else 200
    assert (await _report(http, jobs[0], verb, Titan_Lease=jobs[0]["lease"])).status == expected
    assert (await _report(http, jobs[1], verb, {"lease": jobs[1]["lease"]})).status == expected
    assert (await _report(http, jobs[2], verb, {"lease": "old"}, Titan_Lease=jobs[2]["lease"])).status == expected


@pytest.mark.parametrize("verb", REPORTS)
async def test_report_with_another_lease(http: Http, verb: str) -> None:
    """Another token is a 409 that changes nothing."""
    [job] = await http.running()
    before = (await http("GET", f"/v1/groups/g/jobs/{job['id']}")).json
    for headers, body in (({"Titan_Lease": "old"}, None), ({}, {"lease": "old"})):
        reply = await _report(http, job, verb, body, **headers)
        assert (reply.status, reply.problem.code) == (409, "lease_lost")
    assert (await http("GET", f"/v1/groups/g/jobs/{job['id']}")).json == before


@pytest.mark.parametrize("verb", REPORTS)
async def test_report_on_a_finished_job(http: Http, verb: str) -> None:
    """A report that comes too late is a 409 that says what the job is now."""
    [job] = await http.running()
    await http("POST", f"/v1/groups/g/jobs/{job['id']}/cancel")
    reply = await _report(http, job, verb, Titan_Lease=job["lease"])
    assert (reply.status, reply.problem.code) == (409, "wrong_state")
    assert "cancelled" in reply.problem.message


@pytest.mark.parametrize("verb", REPORTS)
async def test_report_on_no_job(http: Http, verb: str) -> None:
    """A report on a job that is not there is a 404."""
    assert (await _report(http, {"id": NO_JOB}, verb)).status == 404


async def test_touch_says_when_the_lease_ends(http: Http) -> None:
    """Touch answers nothing but the new end of the lease, in a header."""
    [job] = await http.running({"timeout": 100})
    reply = await _report(http, job, "touch")
    assert (reply.status, reply.text) == (204, "")
    ends = reply.headers["Titan-Expires-At"]
    assert milliseconds(ends) >= milliseconds(job["expires_at"])
    assert (await http("GET", f"/v1/groups/g/jobs/{job['id']}")).json["job"]["expires_at"] == ends


async def test_start_takes_a_queued_job(http: Http) -> None:
    """Start on a queued job hands it out, with a token."""
    [job] = await http.enqueue()
    started = (await _report(http, job, "start", {})).json["job"]
    assert (started["status"], started["deliveries"]) == ("running", 1)
    assert (await _report(http, job, "success", Titan_Lease=started["lease"])).status == 200


async def test_start_of_a_paused_group(http: Http) -> None:
    """Start on a queued job of a paused group is a 429 that says when to try again."""
    [job] = await http.enqueue()
    await http("PUT", "/v1/groups/g", {"group": {"paused": True}})
    reply = await _report(http, job, "start")
    assert (reply.status, reply.problem.code) == (429, "limit_reached")
    assert reply.headers["Retry-After"]


@pytest.mark.parametrize(("verb", "status"), [("success", "succeeded"), ("error", "failed")])
async def test_finish_again(http: Http, verb: str, status: str) -> None:
    """The same finish again is a 200 with the job unchanged; the other finish is a 409."""
    [job] = await http.running()
    first = await _report(http, job, verb, Titan_Lease=job["lease"])
    assert first.json["job"]["status"] == status
    again = await _report(http, job, verb, Titan_Lease=job["lease"])
    assert (again.status, again.json) == (200, first.json)
    other = "error" if verb == "success" else "success"
    assert (await _report(http, job, other, Titan_Lease=job["lease"])).status == 409


async def test_fail_with_retries_left(http: Http) -> None:
    """A failure with retries left makes a new job in the same step."""
    [job] = await http.running({"max_retries": 2, "retries_delay": 30})
    failed = (await _report(http, job, "error", {"reason": "own words", "error": "long text"})).json["job"]
    assert (failed["status"], failed["reason"], failed["error"]) == ("failed", "own words", "long text")
    new = (await http("GET", f"/v1/groups/g/jobs/{failed['retry_at']}")).json["job"]
    assert (new["status"], new["max_retries"], new["delay"], new["retry_of"]) == ("delayed", 1, 30, job["id"])


async def test_fail_at_the_bounds(http: Http) -> None:
    """A reason of 256 and an error of 4096 characters are kept as given."""
    [job] = await http.running()
    failed = (await _report(http, job, "error", {"reason": "é" * 256, "error": "é" * 4096})).json["job"]
    assert (failed["reason"], failed["error"]) == ("é" * 256, "é" * 4096)


async def test_release(http: Http) -> None:
    """A released job is queued at its old place and the delivery is not counted; with a delay it waits."""
    [job, _] = await http.running({}, {})
    released = (await _report(http, job, "release", {"delay": None})).json["job"]
    assert (released["status"], released["deliveries"]) == ("queued", 0)
    [again] = (await http("GET", "/v1/jobs")).json["jobs"]
    assert again["id"] == job["id"]
    assert (await _report(http, job, "release", {"delay": 30})).json["job"]["status"] == "delayed"


async def test_report_without_a_lease_where_one_is_required(http: Http) -> None:
    """A group may ask that every report has its token."""
    await http("PUT", "/v1/groups/g", {"group": {"require_lease": True}})
    [job] = await http.running()
    assert (await _report(http, job, "success")).status == 409
    assert (await _report(http, job, "success", Titan_Lease=job["lease"])).status == 200
