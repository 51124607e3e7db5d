"""What differs for a program of 2016: statuses, reasons, names, order, errors and conflicts."""

from typing import Any

import pytest

from broker.core.timestamps import milliseconds
from tests.api.client import Http, Reply
from tests.stores import Store

RUBY_STATUSES = ("delayed", "queued", "running", "success", "error", "cancelled")
"""The statuses that the Ruby client 0.3 accepts; it throws at any other."""
WRAPPERS = pytest.mark.parametrize("many", ["jobs", "tasks"])


async def ended(http: Http, verb: str = "error", many: str = "jobs", **report: Any) -> dict[str, Any]:
    """A job after this report, as its group's list shows it."""
    [job] = await http.running()
    reply = await http("POST", f"/v1/groups/g/{many}/{job['id']}/{verb}", report)
    assert reply.status == 200, reply
    shown = await http("GET", f"/v1/groups/g/{many}/{job['id']}")
    assert shown.json == reply.json
    return reply.json[many[:-1]]


@WRAPPERS
async def test_ruby_client_meets_no_unknown_status(http: Http, many: str) -> None:
    """The list of a group with a job in each status has only statuses of 2016."""
    await http.enqueue({}, {"delay": 60})
    [job, *_] = await http.enqueue()
    await http("POST", f"/v1/groups/g/jobs/{job['id']}/cancel")
    await ended(http, "success")
    await ended(http)
    await http.running()
    listed = (await http("GET", f"/v1/groups/g/{many}")).json[many]
    assert {job["status"] for job in listed} == set(RUBY_STATUSES)


async def test_js_client_sees_a_success(http: Http, today: Http) -> None:
    """A program that waits until a status is `success` ends, and the store keeps today's word."""
    job = await ended(http, "success")
    assert job["status"] == "success"
    assert (await today("GET", f"/v1/groups/g/jobs/{job['id']}")).json["job"]["status"] == "succeeded"


@WRAPPERS
async def test_client_0_3_8_reads_the_group_from_name(http: Http, many: str) -> None:
    """A job that is taken says in `name` to which group its reports go."""
    await http.enqueue(group="other")
    [job] = (await http("GET", f"/v1/{many}")).json[many]
    assert (await http("POST", f"/v1/groups/{job['name']}/{many}/{job['id']}/success")).status == 200


@WRAPPERS
async def test_client_sends_a_job_back_as_it_came(http: Http, many: str) -> None:
    """A whole job is a new job, and a report may be a whole job in its wrapper; what is not of it is ignored."""
    job = await ended(http, many=many, reason="bad_exit")
    assert (await http("POST", f"/v1/groups/g/{many}", {many: [job]})).status == 201
    [running] = (await http("GET", f"/v1/{many}")).json[many]
    path = f"/v1/groups/g/{many}/{running['id']}/success"
    assert (await http("POST", path, {many[:-1]: running})).json[many[:-1]]["status"] == "success"


@pytest.mark.parametrize("wanted", ["success", "succeeded", "error", "failed", "queued"])
@WRAPPERS
async def test_list_of_a_status(http: Http, many: str, wanted: str) -> None:
    """The parameter `status` takes the words of 2016 and those of today, and several of them."""
    await ended(http, "success")
    await ended(http)
    await http.enqueue()
    today = {"succeeded": "success", "failed": "error"}
    listed = (await http("GET", f"/v1/groups/g/{many}?status={wanted}")).json[many]
    assert [job["status"] for job in listed] == [today.get(wanted, wanted)]
    listed = (await http("GET", f"/v1/groups/g/{many}?n=5&status={wanted}&status=cancelled")).json[many]
    assert [job["status"] for job in listed] == [today.get(wanted, wanted)]


async def test_list_of_an_unknown_status(http: Http) -> None:
    """Another word is a 400, and a word that only begins as one of 2016 is not taken for it."""
    for word in ("successful", "errors", "done"):
        reply = await http("GET", f"/v1/groups/g/tasks?status={word}")
        assert (reply.status, reply.problem.fields) == (400, "status")


@pytest.mark.parametrize("given", ["timeout", "killed", "bad_exit", "client_request"])
async def test_reason_of_2016(http: Http, given: str) -> None:
    """The four reasons of 2016 leave as they are, and no error is made up."""
    job = await ended(http, reason=given)
    assert (job["reason"], job.get("error")) == (given, None)


@WRAPPERS
async def test_reason_of_today(http: Http, today: Http, many: str) -> None:
    """Another reason leaves as bad_exit and stands in `error`, unless that says something itself."""
    job = await ended(http, many=many, reason="http_500")
    assert (job["reason"], job["error"]) == ("bad_exit", "http_500")
    told = (await today("GET", f"/v1/groups/g/jobs/{job['id']}")).json["job"]
    assert (told["reason"], "error" in told) == ("http_500", False)
    job = await ended(http, many=many, reason="http_500", error="no luck")
    assert (job["reason"], job["error"]) == ("bad_exit", "no luck")
    job = await ended(http, many=many)
    assert (job.get("reason"), job.get("error")) == (None, None)


@pytest.mark.parametrize(
    ("many", "query", "newest_first"),
    [
        ("jobs", "", False),
        ("jobs", "?order=desc", True),
        ("tasks", "", True),
        ("tasks", "?order=", True),
        ("tasks", "?order=asc", False),
        ("tasks", "?n=10&order=desc", True),
    ],
)
async def test_order_of_a_list(http: Http, many: str, query: str, newest_first: bool) -> None:
    """Under /tasks the newest job is first unless `order` says otherwise; under /jobs the oldest, as today."""
    made = [job["id"] for job in await http.enqueue({}, {}, {})]
    listed = [job["id"] for job in (await http("GET", f"/v1/groups/g/{many}{query}")).json[many]]
    assert listed == (made[::-1] if newest_first else made)


async def test_pages_of_tasks(http: Http) -> None:
    """A cursor leads on in the same order."""
    made = [job["id"] for job in await http.enqueue({}, {}, {})]
    first = (await http("GET", "/v1/groups/g/tasks?n=2")).json
    second = (await http("GET", f"/v1/groups/g/tasks?n=2&cursor={first['cursor']}")).json
    assert [task["id"] for task in first["tasks"] + second["tasks"]] == made[::-1]


@pytest.mark.parametrize(
    ("body", "fields", "message"),
    [
        ({"tasks": [{"image": "i"}, {"image": "i", "priority": 9}]}, "tasks[1].priority", "tasks[1].priority must be"),
        ({"tasks": [{"image": "i", "max_retry": 9}]}, "tasks[0].max_retry", "did you mean max_retries?"),
        ({"tasks": []}, "tasks", "tasks must be a list"),
        ({"task": {}}, "task", "There is no field task; did you mean tasks?"),
        ({}, "tasks", "tasks is missing."),
        ({"tasks": [{"image": "a\nb"}]}, "tasks[0].image", "tasks[0].image must be"),
    ],
)
async def test_error_names_the_field_of_a_task(http: Http, body: Any, fields: str, message: str) -> None:
    """A 400 under /tasks names the field as the program sent it."""
    reply = await http("POST", "/v1/groups/g/tasks", body)
    assert (reply.status, reply.problem.fields) == (400, fields)
    assert message in reply.problem.message
    assert "jobs" not in reply.text


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"null", b"7", b'{"tasks":', b"[" * 100_000])
async def test_body_that_is_no_object(http: Http, body: bytes) -> None:
    """A body that cannot be translated is a 400 as anywhere."""
    reply = await http("POST", "/v1/groups/g/tasks", body, Content_Type="application/json")
    assert (reply.status, reply.problem.code) == (400, "invalid")


async def test_error_as_a_form(http: Http) -> None:
    """The seed's form of a failure works under /tasks too."""
    [job] = await http.running()
    reply = await http.form(f"/v1/groups/g/tasks/{job['id']}/error", "reason=killed")
    assert reply.json["task"]["reason"] == "killed"


@WRAPPERS
async def test_cancel_of_a_cancelled_job(http: Http, today: Http, many: str) -> None:
    """It is a conflict, and changes nothing; without the dialect it is answered as the first one was."""
    [job] = await http.enqueue()
    path = f"/v1/groups/g/{many}/{job['id']}"
    first = await http("POST", f"{path}/cancel")
    again = await http("POST", f"{path}/cancel")
    cancelled = first.json[many[:-1]]
    assert (first.status, again.status, again.problem.code) == (200, 409, "wrong_state")
    assert again.problem.message == f"The job is cancelled, since {cancelled['completed_at']}."
    assert (await http("GET", path)).json == first.json
    plain: Reply = await today("POST", f"/v1/groups/g/jobs/{job['id']}/cancel")
    assert (plain.status, plain.json["job"]["completed_at"]) == (200, cancelled["completed_at"])


async def test_create_group(http: Http) -> None:
    """POST of a group is a 201 here as everywhere."""
    reply = await http("POST", "/v1/groups", {"group": {"name": "g", "max_concurrency": 2}})
    assert (reply.status, reply.json["group"]["max_concurrency"]) == (201, 2)


async def test_idempotency_key(http: Http) -> None:
    """A repeated enqueue gets the first answer again, in the words of the path."""
    body = {"tasks": [{"image": "i"}]}
    first = await http("POST", "/v1/groups/g/tasks", body, Idempotency_Key="k")
    again = await http("POST", "/v1/groups/g/tasks", body, Idempotency_Key="k")
    assert (again.json, again.headers["Idempotency-Replayed"]) == (first.json, "true")


@WRAPPERS
async def test_delivery_limit_of_one(http: Http, store: Store, many: str) -> None:
    """With delivery_limit 1, as the original behaves, a job whose lease has ended fails at once, reason timeout."""
    await http("POST", "/v1/groups", {"group": {"name": "g", "delivery_limit": 1}})
    [job] = await http.running()
    store.now = str(milliseconds(job["expires_at"]) + 1)
    await store.reap(100)
    shown = (await http("GET", f"/v1/groups/g/{many}/{job['id']}")).json[many[:-1]]
    assert (shown["status"], shown["reason"], shown["deliveries"]) == ("error", "timeout", 1)


async def test_metrics_count_a_verb_once(http: Http) -> None:
    """Requests of one verb under both paths are one sample, as the format of Prometheus demands."""
    for path in ("/v1/jobs", "/v1/tasks", "/v1/tasks"):
        await http("GET", path)
    lines = [line for line in (await http("GET", "/metrics")).text.splitlines() if 'status="200",verb="next"' in line]
    assert lines == ['titan_requests_total{status="200",verb="next"} 3.0']
