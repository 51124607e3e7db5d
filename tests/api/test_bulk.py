"""finish and touch_many: many jobs in one call, each with its own outcome."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from broker.core.timestamps import milliseconds
from tests.api.client import NO_JOB, Http

Snapshot = Callable[[], Awaitable[dict[bytes, Any]]]


def _held(job: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"group_name": job["group_name"], "id": job["id"], "lease": job["lease"], **fields}


async def test_finish_many(http: Http) -> None:
    """Jobs of any groups succeed and fail in one call; the outcomes stand in the order of the items."""
    jobs = [*await http.running({}, {}, group="a"), *await http.running({"max_retries": 1}, group="b")]
    items = [
        _held(jobs[0], status="succeeded"),
        _held(jobs[1], status="failed", reason="bad_exit", error="exit status 3"),
        _held(jobs[2], status="failed", completed_at="2020-01-01T00:00:00Z"),
    ]
    reply = await http("POST", "/v1/jobs/finish", {"jobs": items})
    assert reply.json == {"jobs": [{"id": job["id"], "ok": True} for job in jobs]}
    shown = [(await http("GET", f"/v1/groups/{job['group_name']}/jobs/{job['id']}")).json["job"] for job in jobs]
    assert [job["status"] for job in shown] == ["succeeded", "failed", "failed"]
    assert (shown[1]["reason"], shown[1]["error"]) == ("bad_exit", "exit status 3")
    assert shown[2]["completed_at"] >= shown[2]["created_at"]
    assert "retry_at" in shown[2]


async def test_touch_many(http: Http) -> None:
    """Each outcome has the new end of the lease."""
    jobs = await http.running({"timeout": 100}, {"timeout": 200})
    reply = await http("POST", "/v1/jobs/touch", {"jobs": [_held(job) for job in jobs]})
    for job, outcome in zip(jobs, reply.json["jobs"], strict=True):
        assert (outcome["id"], outcome["ok"]) == (job["id"], True)
        assert milliseconds(outcome["expires_at"]) >= milliseconds(job["expires_at"])


BAD: list[tuple[Any, str, str]] = [
    ({"id": NO_JOB}, "not_found", ""),
    ({"id": "x"}, "not_found", ""),
    ({"group_name": "other"}, "not_found", ""),
    ({"group_name": "a/b"}, "invalid", "jobs[1].group_name"),
    ({"group_name": 5}, "invalid", "jobs[1].group_name"),
    ({"group_name": None}, "invalid", "jobs[1].group_name"),
    ({"id": 5}, "invalid", "jobs[1].id"),
    ({"lease": "old"}, "lease_lost", ""),
    ({"lease": 5}, "invalid", "jobs[1].lease"),
    ({"lease": "x" * 65}, "invalid", "jobs[1].lease"),
]
BAD_FINISH: list[tuple[Any, str, str]] = [
    ({"status": "queued"}, "invalid", "jobs[1].status"),
    ({"status": None}, "invalid", "jobs[1].status"),
    ({"reason": "x" * 257}, "invalid", "jobs[1].reason"),
    ({"error": "x" * 4097}, "invalid", "jobs[1].error"),
    ({"completed_at": "soon"}, "invalid", "jobs[1].completed_at"),
    ({"completed_at": 5}, "invalid", "jobs[1].completed_at"),
]


@pytest.mark.parametrize(
    ("path", "fields", "code", "where"),
    [("finish", *row) for row in (*BAD, *BAD_FINISH)] + [("touch", *row) for row in BAD],
)
async def test_bulk_with_a_bad_item(http: Http, path: str, fields: Any, code: str, where: str) -> None:
    """A bad item gets its error in its place and stays as it was; the others are done."""
    jobs = await http.running({}, {}, {})
    items = [_held(job, status="succeeded") for job in jobs]
    items[1] |= fields
    outcomes = (await http("POST", f"/v1/jobs/{path}", {"jobs": items})).json["jobs"]
    assert [outcome.get("ok", False) for outcome in outcomes] == [True, False, True]
    assert outcomes[1]["error"]["code"] == code
    assert outcomes[1]["error"].get("fields", "") == where
    assert outcomes[1]["id"] == (items[1]["id"] if isinstance(items[1]["id"], str) else "")
    shown = (await http("GET", f"/v1/groups/g/jobs/{jobs[1]['id']}")).json["job"]
    assert (shown["status"], shown["expires_at"]) == ("running", jobs[1]["expires_at"])


@pytest.mark.parametrize("item", [5, None, [], "x", {}, {"id": "x"}])
async def test_bulk_with_what_is_no_item(http: Http, item: Any) -> None:
    """Something that is no item at all does not stop the others either."""
    [job] = await http.running()
    reply = await http("POST", "/v1/jobs/finish", {"jobs": [item, _held(job, status="succeeded")]})
    bad, good = reply.json["jobs"]
    assert good == {"id": job["id"], "ok": True}
    assert bad["error"]["fields"].startswith("jobs[0]")


async def test_bulk_with_a_time_that_was_not_given(http: Http) -> None:
    """Go's zero time and an empty text are no time in an item too."""
    jobs = await http.running({}, {})
    times = ("0001-01-01T00:00:00Z", "")
    items = [_held(job, status="succeeded", completed_at=time) for job, time in zip(jobs, times, strict=True)]
    reply = await http("POST", "/v1/jobs/finish", {"jobs": items})
    assert all(outcome["ok"] for outcome in reply.json["jobs"])


@pytest.mark.parametrize("path", ["finish", "touch"])
@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "jobs"),
        (b"{}", "jobs"),
        (b'{"jobs":5}', "jobs"),
        (b'{"jobs":[]}', "jobs"),
        (b'{"jobs":[' + b"1," * 1000 + b"1]}", "jobs"),
        (b"[", ""),
        (b'{"jobs":[' + b"[" * 100_000, ""),
        (b'{"jobs":[\xff]}', ""),
    ],
    ids=range(8),
)
async def test_bulk_with_a_wrong_body(http: Http, snapshot: Snapshot, path: str, body: bytes, where: str) -> None:
    """A body that is not a list of 1 to 1000 items is refused whole."""
    await http.running()
    before = await snapshot()
    reply = await http("POST", f"/v1/jobs/{path}", body, Content_Type="application/json")
    assert (reply.status, reply.problem.code, reply.problem.fields) == (400, "invalid", where), reply
    assert await snapshot() == before


async def test_bulk_of_a_thousand(http: Http) -> None:
    """One call takes 1000 jobs through each step of their life."""
    jobs = await http.running(*[{}] * 1000)
    assert len(jobs) == 1000
    touched = (await http("POST", "/v1/jobs/touch", {"jobs": [_held(job) for job in jobs]})).json["jobs"]
    assert all(outcome["ok"] for outcome in touched)
    items = [_held(job, status="succeeded") for job in jobs]
    finished = (await http("POST", "/v1/jobs/finish", {"jobs": items})).json["jobs"]
    assert all(outcome["ok"] for outcome in finished)
    counts = (await http("GET", "/v1/groups/g")).json["group"]["counts"]
    assert counts == {"delayed": 0, "queued": 0, "running": 0, "succeeded": 1000, "failed": 0, "cancelled": 0}
