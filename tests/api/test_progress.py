"""Progress over HTTP: touch takes it, show and lists have it."""

from typing import Any

import pytest

from broker.core.timestamps import milliseconds
from tests.api.client import Http


def path_of(job: dict[str, Any], verb: str = "") -> str:
    """The URL of a job, or of a verb of it."""
    return f"/v1/groups/{job['group_name']}/jobs/{job['id']}{verb}"


async def test_touch_with_progress(http: Http) -> None:
    """One job and many; a job shows it alone, in a list, and in a list with filters."""
    first, second, third = await http.running({}, {}, {})
    reply = await http("POST", path_of(first, "/touch"), {"progress": 40, "note": "half of it", "for": 600})
    left_ms = milliseconds(reply.headers["Titan-Expires-At"]) - milliseconds(first["started_at"])
    assert (reply.status, 600_000 <= left_ms < 660_000) == (204, True)
    items = [{"group_name": "g", "id": job["id"]} for job in (second, third)]
    items[0] |= {"progress": 100, "for": 0}
    outcomes = (await http("POST", "/v1/jobs/touch", {"jobs": items})).json["jobs"]
    assert [outcome["ok"] for outcome in outcomes] == [True, True]
    expected = [(40, "half of it"), (100, None), (None, None)]
    shown = [(await http("GET", path_of(job))).json["job"] for job in (first, second, third)]
    for jobs in (shown, *[(await http("GET", f"/v1/groups/g/jobs{query}")).json["jobs"] for query in ("", "?brief=1")]):
        assert [(job.get("progress"), job.get("note")) for job in jobs] == expected


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"progress": -1}, "progress"),
        ({"progress": 101}, "progress"),
        ({"progress": "40"}, "progress"),
        ({"progress": 1.5}, "progress"),
        ({"note": "x" * 257}, "note"),
        ({"for": -1}, "for"),
        ({"for": 43_201}, "for"),
        ({"lease_s": 5}, "lease_s"),
    ],
)
async def test_progress_that_is_invalid(http: Http, body: dict[str, Any], field: str) -> None:
    """It is refused with the name of the field, alone and as an item, and nothing is noted."""
    [job] = await http.running()
    assert (await http("POST", path_of(job, "/touch"), body)).problem.fields == field
    item = {"group_name": "g", "id": job["id"], **body}
    [outcome] = (await http("POST", "/v1/jobs/touch", {"jobs": [item]})).json["jobs"]
    assert outcome["error"]["fields"] == f"jobs[0].{field}"
    found = (await http("GET", path_of(job))).json["job"]
    assert (found["expires_at"], found.get("progress"), found.get("note")) == (job["expires_at"], None, None)


async def test_a_whole_job_as_the_body_of_touch(http: Http) -> None:
    """A consumer may send the job as it came, with its progress."""
    [job] = await http.running()
    await http("POST", path_of(job, "/touch"), {"progress": 40})
    found = (await http("GET", path_of(job))).json["job"]
    assert (await http("POST", path_of(job, "/touch"), found)).status == 204
    assert (await http("GET", path_of(job))).json["job"]["progress"] == 40
