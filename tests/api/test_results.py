"""The result of a job over HTTP: success and finish take it, show and a list of results have it."""

import json
from typing import Any

import pytest

from broker.core.settings import BrokerSettings
from tests.api.client import Http

SMALL = BrokerSettings(key_prefix="small", max_result_bytes=20)
USUAL = BrokerSettings(key_prefix="usual")
LARGEST = BrokerSettings(key_prefix="largest", max_result_bytes=262_144)


def path_of(job: dict[str, Any], verb: str = "") -> str:
    """The URL of a job, or of a verb of it."""
    return f"/v1/groups/{job['group_name']}/jobs/{job['id']}{verb}"


async def shown(http: Http, job: dict[str, Any]) -> dict[str, Any]:
    """The job as GET shows it."""
    return (await http("GET", path_of(job))).json["job"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ('{"pages": 3, "size": [1.50, "ü"]}', '{"pages":3,"size":[1.50,"ü"]}'),
        ("12345678901234567890123456789", "12345678901234567890123456789"),
        ('"a\\nb"', '"a\\nb"'),
        ("[]", "[]"),
        ("0", "0"),
        ("false", "false"),
        ('""', '""'),
    ],
)
async def test_success_with_a_result(http: Http, sent: str, kept: str) -> None:
    """Any JSON is a result. It is kept digit by digit, without the spaces between its parts."""
    [job] = await http.running()
    reply = await http("POST", path_of(job, "/success"), f'{{"result": {sent}}}', Titan_Lease=job["lease"])
    assert (reply.status, reply.json["job"]["status"]) == (200, "succeeded")
    assert f'"result":{kept}' in (await http("GET", path_of(job))).text


@pytest.mark.parametrize("body", ['{"result":null}', "{}", ""])
async def test_success_without_a_result(http: Http, body: str) -> None:
    """Null is no result, as everywhere."""
    [job] = await http.running()
    assert (await http("POST", path_of(job, "/success"), body)).status == 200
    assert "result" not in await shown(http, job)


async def test_list_with_results(http: Http) -> None:
    """A list has no results; with fields=result it has them; with other filters that is refused."""
    jobs = await http.running({}, {})
    await http("POST", path_of(jobs[0], "/success"), {"result": {"pages": 3}})
    plain = (await http("GET", "/v1/groups/g/jobs")).json["jobs"]
    assert [job.get("result") for job in plain] == [None, None]
    full = (await http("GET", "/v1/groups/g/jobs?fields=result&n=5")).json["jobs"]
    assert [job.get("result") for job in full] == [{"pages": 3}, None]
    assert (await http("GET", "/v1/groups/g/jobs?fields=payload")).problem.fields == "fields"
    assert (await http("GET", "/v1/groups/g/jobs?fields=result&image=i")).problem.fields == "fields"


@pytest.mark.parametrize(("settings", "limit"), [(SMALL, 20), (USUAL, 16_384), (LARGEST, 262_144)])
async def test_a_result_over_the_limit(http: Http, limit: int) -> None:
    """Trap G9: a huge result cannot fill the store: it is refused with 413, the job still runs, and can still end."""
    first, second = await http.running({}, {})
    fits, above = "x" * (limit - 2), "x" * (limit - 1)
    assert (await http("POST", path_of(first, "/success"), {"result": above})).problem.code == "too_large"
    assert (await shown(http, first))["status"] == "running"
    items = [
        {"group_name": "g", "id": first["id"], "status": "succeeded", "result": above},
        {"group_name": "g", "id": second["id"], "status": "succeeded", "result": fits},
    ]
    outcomes = (await http("POST", "/v1/jobs/finish", {"jobs": items})).json["jobs"]
    assert [outcome.get("error", {}).get("code") for outcome in outcomes] == ["too_large", None]
    assert (await shown(http, first))["status"] == "running"
    assert (await shown(http, second))["result"] == fits
    assert (await http("POST", path_of(first, "/success"), {"result": fits})).status == 200
    assert (await shown(http, first))["result"] == fits


async def test_a_failed_job_has_no_result(http: Http) -> None:
    """The result of a failure is refused, in both calls, and the job still runs."""
    [job] = await http.running()
    refused = await http("POST", path_of(job, "/error"), {"reason": "x", "result": 1})
    assert (refused.status, refused.problem.fields) == (400, "result")
    item = {"group_name": "g", "id": job["id"], "status": "failed", "result": 1}
    [outcome] = (await http("POST", "/v1/jobs/finish", {"jobs": [item]})).json["jobs"]
    assert (outcome["error"]["code"], outcome["error"]["fields"]) == ("invalid", "jobs[0].result")
    assert (await shown(http, job))["status"] == "running"


@pytest.mark.parametrize(
    "result", [b'"a\xffb"', b'"\\ud800"', b"1e999", b"[" * 101 + b"]" * 101, b"[" * 6000 + b"]" * 6000, b"[1,}", b"nul"]
)
async def test_a_result_that_is_no_json(http: Http, result: bytes) -> None:
    """What no reader could decode is refused with 400, alone and among others, and the job still runs."""
    [job] = await http.running()
    assert (await http("POST", path_of(job, "/success"), b'{"result":' + result + b"}")).problem.code == "invalid"
    item = b'{"group_name":"g","id":"%b","status":"succeeded","result":%b}' % (job["id"].encode(), result)
    reply = await http("POST", "/v1/jobs/finish", b'{"jobs":[' + item + b"]}")
    outcome = reply.json["jobs"][0] if "jobs" in reply.json else reply.json  # what is no JSON at all is a 400
    assert outcome["error"]["code"] == "invalid"
    assert (await shown(http, job))["status"] == "running"


async def test_a_deep_result(http: Http) -> None:
    """A hundred levels are the most; lists side by side do not count as levels."""
    for result in (b"[" * 100 + b"]" * 100, json.dumps([[]] * 500).encode()):
        [job] = await http.running()
        assert (await http("POST", path_of(job, "/success"), b'{"result":' + result + b"}")).status == 200


async def test_a_job_with_a_result_can_be_enqueued_again(http: Http) -> None:
    """A producer may send a whole job as it came: its result is ignored."""
    [job] = await http.running()
    await http("POST", path_of(job, "/success"), {"result": 5})
    reply = await http("POST", "/v1/groups/g/jobs", {"jobs": [await shown(http, job)]})
    assert (reply.status, reply.json["jobs"][0].get("result")) == (201, None)
