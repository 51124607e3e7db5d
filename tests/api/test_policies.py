"""Retry policies over HTTP: what is taken, what is refused, and what a job and a group show."""

from typing import Any

import pytest

from tests.api.client import Http

JOBS = "/v1/groups/g/jobs"
DEFAULTS = {"max": 5, "backoff": "exponential", "factor": 2, "delay": 10, "cap": 3600, "jitter": 20}
GIVEN = {"max": 8, "delay": 5, "cap": 900, "jitter": 30, "except": ["bad_input", "auth_*"], "max_age": 86_400}
"""The example of the docs."""


async def fail(http: Http, job: dict[str, Any], **body: Any) -> dict[str, Any]:
    """Report the failure of a job; the job."""
    reply = await http("POST", f"{JOBS}/{job['id']}/error", body, Titan_Lease=job["lease"])
    assert reply.status == 200, reply
    found: dict[str, Any] = reply.json["job"]
    return found


async def test_enqueue_with_a_policy(http: Http) -> None:
    """Each answer has the policy as it was given, with the defaults of the rest."""
    [job] = await http.enqueue({"retry": GIVEN})
    assert job["retry"] == {**DEFAULTS, **GIVEN}
    assert "attempts" not in job
    [taken] = (await http("GET", "/v1/jobs?n=1")).json["jobs"]
    assert taken["retry"] == job["retry"]
    failed = await fail(http, taken, reason="no_such_host")
    assert failed == (await http("GET", f"{JOBS}/{job['id']}")).json["job"]
    assert (failed["status"], failed["attempts"], failed["reason"]) == ("delayed", 1, "no_such_host")
    [listed] = (await http("GET", JOBS)).json["jobs"]
    [looked] = (await http("GET", f"{JOBS}?reason=no_such_host")).json["jobs"]
    assert failed == listed == looked


@pytest.mark.parametrize("given", [{}, {"max": None, "except": None, "max_age": None, "factor": None}])
async def test_defaults(http: Http, given: dict[str, Any]) -> None:
    """Null is the default, as everywhere."""
    [job] = await http.enqueue({"retry": given})
    assert job["retry"] == DEFAULTS


async def test_no_policy(http: Http) -> None:
    """Null is no policy; a job without one shows none."""
    [job] = await http.enqueue({"retry": None})
    assert job.keys().isdisjoint({"retry", "attempts", "dead_at"})


BOUNDS = {
    "max": (0, 100),
    "factor": (1, 10),
    "delay": (0, 31_536_000),
    "cap": (0, 31_536_000),
    "jitter": (0, 100),
    "max_age": (1, 31_536_000),
}


async def test_bounds(http: Http) -> None:
    """The least and the most of each field are taken."""
    most = {name: high for name, (_, high) in BOUNDS.items()} | {"only": ["x" * 64 + "*"] * 20}
    least = {name: low for name, (low, _) in BOUNDS.items()} | {"factor": 1.001, "backoff": "linear"}
    jobs = await http.enqueue({"retry": most}, {"retry": least})
    assert [job["retry"].items() >= given.items() for job, given in zip(jobs, (most, least), strict=True)] == [True] * 2


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        *(({name: low - 1}, name, str(low)) for name, (low, _) in BOUNDS.items()),
        *(({name: high + 1}, name, str(high)) for name, (_, high) in BOUNDS.items()),
        ({"factor": 1.0005}, "factor", "in steps of 0.001"),
        ({"backoff": "fibonacci"}, "backoff", "constant, exponential, linear"),
        ({"dealy": 3}, "dealy", "did you mean delay?"),
        ({"except_": ["x"]}, "except_", "did you mean except?"),
        ({"except": []}, "except", "a list of 1 to 20 items"),
        ({"only": ["x"] * 21}, "only", "a list of 1 to 20 items"),
        ({"only": ["two words"]}, "only[0]", "a reason"),
        ({"except": ["a,b"]}, "except[0]", "a reason"),
        ({"except": ["a*b"]}, "except[0]", "a reason"),
    ],
)
async def test_what_is_refused(http: Http, given: dict[str, Any], field: str, words: str) -> None:
    """A value out of bounds or a misspelt name is a 400 that names its path; in a job and in a group."""
    refused = await http("POST", JOBS, {"jobs": [{"image": "i", "retry": given}]})
    assert (refused.status, refused.problem.fields) == (400, f"jobs[0].retry.{field}")
    assert words in refused.problem.message
    refused = await http("PUT", "/v1/groups/g", {"group": {"retry": given}})
    assert (refused.status, refused.problem.fields) == (400, f"group.retry.{field}")


@pytest.mark.parametrize("field", ["max_retries", "retries_delay"])
async def test_both_kinds_of_retries(http: Http, field: str) -> None:
    """A job has a policy or max_retries, not both; that a whole job says the defaults of the others is no matter."""
    refused = await http("POST", JOBS, {"jobs": [{"image": "i"}, {"image": "i", "retry": {}, field: 3}]})
    assert (refused.status, refused.problem.fields) == (400, f"jobs[1].{field}")
    [job] = await http.enqueue({"retry": GIVEN})
    [again] = await http.enqueue(job)
    assert again["retry"] == job["retry"]


async def test_a_report_says_how_to_go_on(http: Http) -> None:
    """`retry_after` sets the wait and `retry` false ends the job, alone and in bulk."""
    await http.enqueue(*[{"retry": {}}] * 4)
    jobs = (await http("GET", "/v1/jobs?n=4")).json["jobs"]
    assert (await fail(http, jobs[0], retry_after=7))["status"] == "delayed"
    dead = await fail(http, jobs[1], retry=False)
    assert (dead["status"], dead["dead_at"]) == ("failed", dead["completed_at"])
    items = [
        {"group_name": "g", "id": job["id"], "lease": job["lease"], "status": "failed", **more}
        for job, more in zip(jobs[2:], ({"retry_after": 0}, {"retry": False}), strict=True)
    ]
    await http("POST", "/v1/jobs/finish", {"jobs": items})
    statuses = [(await http("GET", f"{JOBS}/{job['id']}")).json["job"]["status"] for job in jobs[2:]]
    assert statuses[0] in {"delayed", "queued"}
    assert statuses[1] == "failed"


async def test_a_report_that_is_a_whole_job(http: Http) -> None:
    """Clients may report with the job that they got: its policy says nothing about this failure."""
    await http.enqueue({"retry": GIVEN})
    [job] = (await http("GET", "/v1/jobs?n=1")).json["jobs"]
    assert (await fail(http, job, **{**job, "reason": "busy"}))["status"] == "delayed"


@pytest.mark.parametrize("given", [{"retry_after": -1}, {"retry_after": 31_536_001}, {"retry": "no"}])
async def test_a_report_that_is_refused(http: Http, given: dict[str, Any]) -> None:
    """A value that is wrong is a 400 with its name."""
    await http.enqueue({"retry": GIVEN})
    [job] = (await http("GET", "/v1/jobs?n=1")).json["jobs"]
    refused = await http("POST", f"{JOBS}/{job['id']}/error", given)
    assert (refused.status, refused.problem.fields) == (400, next(iter(given)))


async def test_the_policy_of_a_group(http: Http) -> None:
    """A group shows its policy; PATCH changes it as a whole, and null takes it away."""
    put = await http("PUT", "/v1/groups/g", {"group": {"retry": GIVEN}})
    assert put.json["group"]["retry"] == {**DEFAULTS, **GIVEN}
    assert (await http("PUT", "/v1/groups/g", put.json)).json["group"] == put.json["group"]
    patched = await http("PATCH", "/v1/groups/g", {"group": {"retry": {"max": 1}}})
    assert patched.json["group"]["retry"] == {**DEFAULTS, "max": 1}
    assert "retry" in (await http("PATCH", "/v1/groups/g", {"group": {"paused": True}})).json["group"]
    await http("PATCH", "/v1/groups/g", {"group": {"retry": None}})
    assert "retry" not in (await http("GET", "/v1/groups/g")).json["group"]


async def test_dead_jobs(http: Http) -> None:
    """`dead=1` lists the jobs that failed and were not retried, of every kind."""
    await http.enqueue(
        {"payload": "plain"}, {"payload": "policy", "retry": {}}, {"payload": "renewed", "max_retries": 1}
    )
    await http.enqueue({"payload": "waits", "retry": {}}, {"payload": "good"})
    jobs = {job["payload"]: job for job in (await http("GET", "/v1/jobs?n=9")).json["jobs"]}
    for name in ("plain", "renewed", "waits"):
        await fail(http, jobs[name])
    await fail(http, jobs["policy"], retry=False)
    await http("POST", f"{JOBS}/{jobs['good']['id']}/success")
    dead = (await http("GET", f"{JOBS}?dead=1")).json["jobs"]
    assert sorted(job["payload"] for job in dead) == ["plain", "policy"]
    assert (await http("GET", f"{JOBS}?dead=1&status=queued")).problem.fields == "dead"


async def test_why_and_history(http: Http) -> None:
    """Both say how often the job failed, and when it is tried again."""
    await http.enqueue({"retry": GIVEN})
    [job] = (await http("GET", "/v1/jobs?n=1")).json["jobs"]
    await fail(http, job, reason="busy")
    [reason] = (await http("GET", f"{JOBS}/{job['id']}/why")).json["reasons"]
    assert (reason["code"], reason["n"], reason["limit"], reason["reason"]) == ("retry_delay", 1, 8, "busy")
    assert reason["text"].startswith("It failed 1 time, last with busy, and is tried again in ")
    events = (await http("GET", f"{JOBS}/{job['id']}/history")).json["events"]
    assert [(event["what"], event.get("reason")) for event in events][-1] == ("failed", "busy")
