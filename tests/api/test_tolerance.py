"""What clients of the seed send, and a broker lets pass."""

import json
from typing import Any

import pytest

from broker.core.timestamps import milliseconds, rfc3339
from tests.api.client import Http

JOBS = "/v1/groups/g/jobs"
LONG_AGO = "0001-01-01T00:00:00Z"


@pytest.mark.parametrize("verb", ["start", "touch", "success", "error", "release", "cancel"])
async def test_report_without_a_body(http: Http, verb: str) -> None:
    """A report needs no body and no Content-Type, and may have a JSON Content-Type without a body."""
    kinds = (
        {"Content_Type": kind} for kind in ("application/json", "application/json; charset=utf-8", "APPLICATION/JSON")
    )
    for headers in ({}, *kinds):
        for body in (None, b"", b"{}", b"null", b" \n{} "):
            [job] = await http.running(group=verb)
            reply = await http("POST", f"/v1/groups/{verb}/jobs/{job['id']}/{verb}", body, **headers)
            assert reply.status == (204 if verb == "touch" else 200), (headers, body, reply)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_content_type_where_there_is_no_body(http: Http, method: str) -> None:
    """GET and DELETE may say that their body, which is not there, is JSON."""
    [job] = await http.running()
    await http("POST", f"{JOBS}/{job['id']}/success")
    reply = await http(method, f"{JOBS}/{job['id']}", Content_Type="application/json", Accept="application/json")
    assert reply.status == (200 if method == "GET" else 204)


async def test_enqueue_without_a_content_type(http: Http) -> None:
    """JSON without a Content-Type is JSON."""
    assert (await http("POST", JOBS, b'{"jobs":[{"image":"i"}]}')).status == 201


async def test_enqueue_of_a_whole_job(http: Http) -> None:
    """A job as it was answered can be sent again: what is the broker's is not taken from it."""
    [job] = await http.running({"timeout": 5, "payload": "p"})
    [again] = (
        await http("POST", JOBS, {"jobs": [{**job, "id": "x", "status": "failed", "name": "n", "jobs": [1]}]})
    ).json["jobs"]
    assert (again["timeout"], again["payload"], again["status"], again["deliveries"]) == (5, "p", "queued", 0)
    assert again["id"] not in ("x", job["id"])


async def test_enqueue_with_null_for_not_given(http: Http) -> None:
    """JSON null is "not given"."""
    fields = ("payload", "delay", "timeout", "priority", "max_retries", "retries_delay")
    [job] = await http.enqueue(dict.fromkeys(fields))
    assert (job["delay"], job["timeout"], job["priority"], job["retries_delay"]) == (0, 60, 0, 60)
    assert "payload" not in job


async def test_configure_with_null_for_not_given(http: Http) -> None:
    """JSON null is "not given" in settings too."""
    fields = ("image", "env_vars", "max_concurrency", "paused", "rate_limit", "delivery_limit", "require_lease")
    reply = await http("PUT", "/v1/groups/g", {"group": {**dict.fromkeys(fields), "retention": None}})
    assert reply.status == 200
    assert reply.json["group"]["delivery_limit"] == 5
    assert "image" not in reply.json["group"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs?n=",
        "/v1/jobs?n=&wait=&lease=&group=",
        "/v1/jobs?n&wait",
        "/v1/jobs?n=&n=1",
        "/v1/jobs?unknown=&n=1",
        "/v1/groups?n=&cursor=",
        f"{JOBS}?n=&created_after=&cursor=&status=&order=",
        f"{JOBS}?created_after={LONG_AGO}",
        f"{JOBS}?created_after=2020-01-01T00:00:00Z",
        f"{JOBS}?created_after=2020-01-01t00:00:00.123456789z",
        f"{JOBS}?created_after=2020-01-01T00:00:00%2B02:00",
        f"{JOBS}?created_after=2020-01-01T00:00:00+02:00",
        f"{JOBS}?created_after=2020-01-01T00:00:00-02:30",
        f"{JOBS}?created_after=2020-01-01T00%3A00%3A00%2B02%3A00",
    ],
)
async def test_query_that_gives_nothing(http: Http, path: str) -> None:
    """A parameter without a value, Go's zero time, and any RFC 3339 form are fine."""
    await http.enqueue()
    reply = await http("GET", path)
    assert reply.status == 200
    assert len(reply.json.get("jobs", reply.json.get("groups"))) == 1


async def test_query_offset_whose_plus_became_a_space(http: Http) -> None:
    """A time with an offset means the same with its plus escaped and with it lost to a space."""
    [job] = await http.enqueue()
    east = job["created_at"].replace("Z", "+00:00")
    for offset in ("+00:00", "%2B00:00"):
        reply = await http("GET", f"{JOBS}?created_after={east.replace('+00:00', offset)}")
        assert reply.json == {"jobs": []}


@pytest.mark.parametrize("given", [LONG_AGO, "", None])
@pytest.mark.parametrize(
    ("verb", "field"), [("start", "started_at"), ("success", "completed_at"), ("error", "completed_at")]
)
async def test_time_that_was_not_given(http: Http, verb: str, field: str, given: str | None) -> None:
    """Go's zero time, an empty text and null are no time: the store's clock is taken."""
    [job] = await http.running()
    reply = await http("POST", f"{JOBS}/{job['id']}/{verb}", {field: given})
    assert reply.status == 200
    assert reply.json["job"][field] >= job["created_at"]


@pytest.mark.parametrize("form", ["{}.5Z", "{}.500000000Z", "{}.5+00:00", "{}.5-00:00"])
async def test_time_in_any_form(http: Http, form: str) -> None:
    """A time may have an offset and any number of digits; the answer is in UTC with milliseconds."""
    [job] = await http.running()
    second = rfc3339(milliseconds(job["created_at"]) + 5000)[:19]  # neither before it, nor far ahead
    reply = await http("POST", f"{JOBS}/{job['id']}/success", {"completed_at": form.format(second)})
    assert reply.json["job"]["completed_at"] == f"{second}.500Z"


async def test_path_is_decoded_once(http: Http) -> None:
    """A path's segments may be percent-encoded."""
    [job] = await http.enqueue()
    encoded = "".join(f"%{ord(letter):02X}" for letter in job["id"])
    assert (await http("GET", f"/v1/groups/%67/jobs/{encoded}")).json["job"]["id"] == job["id"]


FAILURES: list[tuple[str, bytes | None, str | None]] = [
    ("?reason=bad_exit&error=it+broke", None, None),
    ("?reason=bad_exit&error=it%20broke&completed_at=", b"{}", "application/json"),
    ("", b"reason=bad_exit&error=it+broke", "application/x-www-form-urlencoded"),
    ("", b"reason=bad_exit&error=it%20broke&lease=", "application/x-www-form-urlencoded; charset=utf-8"),
    ("", b'{"reason":"bad_exit","error":"it broke"}', "application/json"),
    ("", b'{"reason":"bad_exit","error":"it broke","completed_at":"0001-01-01T00:00:00Z"}', None),
    ("?reason=other", b'{"reason":"bad_exit","error":"it broke"}', "application/json"),
    ("?error=it+broke", b"reason=bad_exit", "application/x-www-form-urlencoded"),
]


@pytest.mark.parametrize(("query", "body", "kind"), FAILURES, ids=range(len(FAILURES)))
async def test_fail_says_why_in_many_ways(http: Http, query: str, body: bytes | None, kind: str | None) -> None:
    """The reason comes as JSON, as a form or in the query; what the body says goes before the query."""
    [job] = await http.running()
    headers: dict[str, Any] = {"Content_Type": kind} if kind else {}
    reply = await http("POST", f"{JOBS}/{job['id']}/error{query}", body, **headers)
    assert reply.status == 200, reply
    assert (reply.json["job"]["reason"], reply.json["job"]["error"]) == ("bad_exit", "it broke")


@pytest.mark.parametrize("size", [1, 7, 65_536])
async def test_enqueue_in_pieces(http: Http, size: int) -> None:
    """A body may come in chunks of any size."""
    text = json.dumps({"jobs": [{"image": "i", "payload": "x" * 1000}]}).encode()

    async def pieces() -> Any:
        for at in range(0, len(text), size):
            yield text[at : at + size]

    assert (await http("POST", JOBS, pieces(), Content_Type="application/json")).status == 201
