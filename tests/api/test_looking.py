"""Lists with filters and find, over HTTP: parameters, answers, refusals, and what a token may see."""

import pytest

from tests.api.client import NO_JOB, Http

JOBS = "/v1/groups/g/jobs"


async def test_list_without_filters_is_as_before(http: Http) -> None:
    """Neither `looked` nor `of` is in an answer to the parameters of a plain list; with any filter both are."""
    await http.enqueue({"payload": "p"})
    for query in ("", "?n=5&order=desc", "?status=queued", "?created_after=2020-01-01T00:00:00Z", "?retried=1&brief=0"):
        assert (await http("GET", JOBS + query)).json.keys() == {"jobs"}, query
    for query in (
        "image=i",
        "reason=",
        "retried=0",
        "looks=5",
        "brief=1",
        "created_before=2099-01-01T00:00:00Z",
        "text=p",
    ):
        reply = (await http("GET", f"{JOBS}?{query}")).json
        assert reply.keys() == ({"jobs"} if query == "reason=" else {"jobs", "looked", "of"}), query
        assert len(reply["jobs"]) == 1


async def test_list_jobs_with_filters(http: Http) -> None:
    """Each filter reaches the store, and the cursor continues until all were read."""
    jobs = await http.enqueue(
        {"image": "a", "payload": "to: ann"}, {"image": "b", "payload": "x" * 300}, {"image": "a"}
    )
    reply = (await http("GET", f"{JOBS}?image=a&looks=2")).json
    assert [job["id"] for job in reply["jobs"]] == [jobs[0]["id"]]
    assert (reply["looked"], reply["of"]) == (2, 3)
    rest = (await http("GET", f"{JOBS}?image=a&looks=2&cursor={reply['cursor']}")).json
    assert [job["id"] for job in rest["jobs"]] == [jobs[2]["id"]]
    assert "cursor" not in rest
    [found] = (await http("GET", f"{JOBS}?text=to%3A%20ann")).json["jobs"]
    assert found == jobs[0]
    assert [len(job.get("payload", "")) for job in (await http("GET", f"{JOBS}?brief=1")).json["jobs"]] == [7, 256, 0]
    before = jobs[0]["created_at"]
    assert (await http("GET", f"{JOBS}?created_before={before}")).json == {"jobs": [], "looked": 0, "of": 0}


async def test_list_of_a_reason_and_a_worker(http: Http) -> None:
    """Jobs are found by the reason of their end, by the worker of a receipt, and unless they were retried."""
    first, second = await http.running({}, {})
    for job, reason in ((first, "bad_exit"), (second, "timeout")):
        body = {"reason": reason, "receipt": {"worker": f"w-{reason}"}, "lease": job["lease"]}
        assert (await http("POST", f"{JOBS}/{job['id']}/error", body)).status == 200
    for query in ("reason=timeout", "worker=w-timeout"):
        [found] = (await http("GET", f"{JOBS}?status=failed&{query}")).json["jobs"]
        assert found["id"] == second["id"]
    await http("POST", f"{JOBS}/{second['id']}/retry")
    [left] = (await http("GET", f"{JOBS}?status=failed&retried=0")).json["jobs"]
    assert left["id"] == first["id"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("text", "x" * 257), ("looks", "0"), ("looks", "10001"), ("retried", "2"), ("brief", "2")),
        *(("image", "x" * 256), ("image", "%00"), ("worker", "%0a"), ("reason", "x" * 257), ("created_before", "soon")),
        *(("cause", "no%20user"), ("cause", "0" * 13), ("cause", "A" * 12)),
        ("cursor", "nonsense&brief=1"),
    ],
)
async def test_list_with_a_wrong_filter(http: Http, name: str, value: str) -> None:
    """A filter out of bounds is a 400 that names it."""
    reply = await http("GET", f"{JOBS}?{name}={value}")
    assert (reply.status, reply.problem.code, reply.problem.fields) == (400, "invalid", name)


async def test_find_by_id(http: Http) -> None:
    """A job is found without its group, as `show` has it."""
    [job] = await http.enqueue(group="other")
    reply = await http("GET", f"/v1/jobs/{job['id']}")
    assert (reply.status, reply.json) == (200, {"job": job})


@pytest.mark.parametrize("job_id", [NO_JOB, "short", "x" * 17, "finish1"])
async def test_find_what_is_not_there(http: Http, job_id: str) -> None:
    """An id that no job has, or none can have, is a 404."""
    reply = await http("GET", f"/v1/jobs/{job_id}")
    assert (reply.status, reply.problem.code) == (404, "not_found")


async def test_history_over_http(http: Http) -> None:
    """The events of a job, with the receipt of its delivery."""
    [job] = await http.running()
    body = {"reason": "bad_exit", "receipt": {"worker": "w1", "exit_code": 3}, "lease": job["lease"]}
    await http("POST", f"{JOBS}/{job['id']}/error", body)
    reply = (await http("GET", f"{JOBS}/{job['id']}/history")).json
    assert [event["what"] for event in reply["events"]] == ["created", "taken", "failed"]
    assert (
        reply["events"][2].items() >= {"from": "running", "to": "failed", "reason": "bad_exit", "delivery": 1}.items()
    )
    assert reply["events"][2]["receipt"] == {"worker": "w1", "exit_code": 3, "outcome": "failed"}
    assert reply["is_whole"] is True
    assert (await http("GET", f"{JOBS}/{NO_JOB}/history")).status == 404


async def test_failures_over_http(http: Http) -> None:
    """Failed jobs with errors that differ in a number are one cause; `looks` bounds how many are read."""
    for number, job in enumerate(await http.running({}, {}, {})):
        body = {"reason": "bad_exit", "error": f"no user {number}" if number else "other", "lease": job["lease"]}
        await http("POST", f"{JOBS}/{job['id']}/error", body)
    reply = (await http("GET", "/v1/groups/g/failures")).json
    assert (reply["looked"], reply["of"]) == (3, 3)
    assert [(cause["n"], cause["signature"], cause["reason"]) for cause in reply["causes"]] == [
        (2, "no user #", "bad_exit"),
        (1, "other", "bad_exit"),
    ]
    assert len(reply["causes"][0]["ids"]) == 2
    assert (await http("GET", "/v1/groups/g/failures?looks=1")).json["looked"] == 1
    assert (await http("GET", "/v1/groups/unknown/failures")).json == {"looked": 0, "of": 0, "causes": []}
    frequent = reply["causes"][0]
    page = (await http("GET", f"{JOBS}?cause={frequent['cause']}&order=desc")).json
    assert ([job["id"] for job in page["jobs"]], page["looked"]) == (frequent["ids"], 3)
    for looks in ("0", "1001"):
        assert (await http("GET", f"/v1/groups/g/failures?looks={looks}")).problem.fields == "looks"


@pytest.mark.parametrize("backend", ["valkey", "redis"])
async def test_failures_of_many_are_a_few_causes(http: Http) -> None:
    """1,000 failures with three messages, each with other ids in it, are three causes whose numbers are exact."""
    errors = (
        lambda n: f"smtp: 550 no such user user-{n}@example.org (id {n:08x}-aa11-4bb2-8cc3-{n:012x})",
        lambda n: f"timeout after {n}.5 s at 10.0.{n % 256}.7:{1000 + n}",
        lambda n: f"KeyError: '{n}'",
    )
    expected = [0, 0, 0]
    for first in range(0, 1000, 250):
        items = []
        for n, job in enumerate(await http.running(*[{}] * 250), first):
            kind = 0 if n % 2 else 1 if n % 8 else 2
            expected[kind] += 1
            items.append({"group_name": "g", "id": job["id"], "lease": job["lease"], "status": "failed"})
            items[-1] |= {"reason": "bad_exit", "error": errors[kind](n)}
        assert (await http("POST", "/v1/jobs/finish", {"jobs": items})).status == 200
    reply = (await http("GET", "/v1/groups/g/failures?looks=1000")).json
    assert (reply["looked"], reply["of"]) == (1000, 1000)
    assert [cause["n"] for cause in reply["causes"]] == expected == [500, 375, 125]
    for cause, word in zip(reply["causes"], ("550", "timeout", "KeyError"), strict=True):
        assert word in cause["error"]
        assert "#" in cause["signature"]


async def test_why_over_http(http: Http) -> None:
    """A job and a group are explained, without a wrapper; a `next` at this broker counts at once."""
    [job] = await http.enqueue()
    await http.enqueue(group="other")
    reply = (await http("GET", f"{JOBS}/{job['id']}/why")).json
    assert reply.keys() == {"verdict", "reasons", "now", "job", "ahead"}
    assert [reason["code"] for reason in reply["reasons"]] == ["no_worker_asks"]
    await http("PUT", "/v1/groups/g", {"group": {"paused": True}})
    await http("GET", "/v1/jobs?group=g")
    reply = (await http("GET", "/v1/groups/g/why")).json
    assert [reason["code"] for reason in reply["reasons"]] == ["group_paused"]
    assert reply["job"] == job["id"]
    for path in (f"{JOBS}/{NO_JOB}/why", "/v1/groups/unknown/why"):
        assert (await http("GET", path)).status == 404
