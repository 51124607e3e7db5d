"""Schedules over HTTP: what is valid, what an answer has, and who may do it."""

from typing import Any

import pytest

from tests.api.client import Http

GOOD: dict[str, Any] = {"cron": "30 7 * * 1-5", "zone": "Europe/Berlin", "job": {"image": "digest"}}
PATH = "/v1/groups/mail/schedules/digest"
pytestmark = pytest.mark.parametrize("backend", ["fake"])


def body(**fields: Any) -> dict[str, Any]:
    """The body of a put; fields with None are left out."""
    return {"schedule": {name: value for name, value in (GOOD | fields).items() if value is not None}}


async def test_put_answers_with_all_of_it(http: Http) -> None:
    """201 for a new one and 200 for the same again, with the revision as its ETag; defaults are shown."""
    made = await http("PUT", PATH, body(overlap="queue"))
    again = await http("PUT", PATH, body(overlap="queue"))
    assert (made.status, again.status, made.headers["ETag"]) == (201, 200, '"1"')
    assert made.json == again.json == (await http("GET", PATH)).json
    schedule = made.json["schedule"]
    assert schedule["next_at"].endswith("30:00.000Z")
    assert (schedule["state"], schedule["missed"], schedule["catch_up"]) == ("active", "one", 86400)
    assert schedule["job"] == {"image": "digest"}
    assert "at" not in schedule
    assert (await http("GET", "/v1/groups/mail/schedules")).json == {"schedules": [schedule]}


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("schedule.cron", {"cron": "0 0 30 2 *"}),
        ("schedule.cron", {"cron": None}),
        ("schedule.cron", {"cron": []}),
        ("schedule.every", {"cron": None, "every": 0}),
        ("schedule.every", {"every": 60}),
        ("schedule.zone", {"zone": "Europe/Berln"}),
        ("schedule.zone", {"zone": "+01:00"}),
        ("schedule.at", {"cron": None, "at": "tomorrow"}),
        ("schedule.at", {"cron": None, "at": "2020-01-01T00:00:00Z"}),
        ("schedule.jitter", {"jitter": 3601}),
        ("schedule.overlap", {"overlap": "wait"}),
        ("schedule.overlapp", {"overlapp": "skip"}),
        ("schedule.ends_at", {"ends_at": "2020-01-01T00:00:00Z"}),
        ("schedule.ends_at", {"ends_at": "0003-01-03T00:10:00Z"}),
        ("schedule.job", {"job": None}),
        ("schedule.job.image", {"job": {}}),
        ("schedule.job.image", {"job": {"image": "a\nb"}}),
        ("schedule.job.delay", {"job": {"image": "x", "delay": 5}}),
        ("schedule.job.max_retries", {"job": {"image": "x", "max_retries": 1, "retry": {}}}),
        ("schedule.job.unique.on_conflict", {"job": {"image": "x", "unique": {"key": "k", "on_conflict": "push"}}}),
        ("schedule.job.payload", {"job": {"image": "x", "payload": "x" * 1_100_000}}),
    ],
)
async def test_an_invalid_schedule_names_the_field(http: Http, field: str, fields: dict[str, Any]) -> None:
    """A23: an expression that never comes is refused as well. Nothing is stored."""
    reply = await http("PUT", PATH, body(**fields))
    assert (reply.status, reply.problem.fields.partition("[")[0]) == (400, field), reply.text
    assert (await http("GET", PATH)).status == 404


async def test_if_match(http: Http) -> None:
    """The revision, as it is or in quotes; another one is a 412."""
    await http("PUT", PATH, body())
    assert (await http("PUT", PATH, body(overlap="allow"), If_Match="1")).status == 200
    stale = await http("PUT", PATH, body(), If_Match='"1"')
    assert (stale.status, stale.problem.code) == (412, "changed")
    assert (await http("PUT", PATH, body(), If_Match="new")).problem.fields == "If-Match"


async def test_if_none_match(http: Http) -> None:
    """`*` creates a schedule, and is refused if there is one; nothing else may be given."""
    assert (await http("PUT", PATH, body(), If_None_Match="*")).status == 201
    again = await http("PUT", PATH, body(overlap="allow"), If_None_Match="*")
    assert (again.status, again.problem.code) == (412, "changed")
    assert "with this name already" in again.problem.message
    assert (await http("GET", PATH)).json["schedule"]["overlap"] == "skip"
    for headers in ({"If_None_Match": '"1"'}, {"If_None_Match": "*", "If_Match": "1"}):
        refused = await http("PUT", PATH, body(), **headers)
        assert (refused.status, refused.problem.fields) == (400, "If-None-Match")


async def test_times(http: Http) -> None:
    """The next times of one that is stored and of one that is not are the same, strictly after `from`."""
    await http("PUT", PATH, body())
    query = "n=3&from=2027-03-26T06:30:00Z"
    stored = (await http("GET", f"{PATH}/next?{query}")).json["times"]
    preview = (await http("POST", f"/v1/schedules/preview?{query}", body())).json["times"]
    assert stored == preview
    assert [time["local"] for time in stored] == [f"2027-03-{day}T07:30:00.000+02:00" for day in (29, 30, 31)]
    assert (await http("POST", "/v1/schedules/preview?from=soon", body())).problem.fields == "from"
    assert len((await http("POST", "/v1/schedules/preview", body())).json["times"]) == 10


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ({"cron": "0 3 * * *"}, ["At 03:00 every day"]),
        ({"cron": ["30 7 * * 1-5", "@weekly"]}, ["At 07:30 on Monday through Friday", "At 00:00 on Sunday"]),
        ({"every": 60}, None),
    ],
)
async def test_times_in_words(http: Http, when: dict[str, Any], words: list[str] | None) -> None:
    """The times of one that is stored and of one that is not have its cron expressions in words."""
    given = {"schedule": {**when, "job": {"image": "i"}}}
    await http("PUT", PATH, given)
    assert (await http("GET", f"{PATH}/next")).json.get("words") == words
    assert (await http("POST", "/v1/schedules/preview", given)).json.get("words") == words


async def test_pause_resume_and_remove(http: Http) -> None:
    """The answers have the schedule as it is then."""
    await http("PUT", PATH, body())
    paused = (await http("POST", f"{PATH}/pause", {"note": "why"})).json["schedule"]
    assert (paused["state"], paused["note"], "next_at" in paused) == ("paused", "why", False)
    assert (await http("POST", f"{PATH}/resume")).json["schedule"]["state"] == "active"
    assert (await http("DELETE", PATH)).status == 204
    for verb in ("pause", "resume", "run"):
        assert (await http("POST", f"{PATH}/{verb}")).problem.code == "not_found"


async def test_run(http: Http) -> None:
    """201 with the job; a second one is a 409 that names it, unless it may overlap. A key repeats the first answer."""
    await http("PUT", PATH, body())
    made = await http("POST", f"{PATH}/run", Idempotency_Key="k")
    job = made.json["job"]
    assert (made.status, job["schedule"], job["status"]) == (201, "digest", "queued")
    again = await http("POST", f"{PATH}/run", Idempotency_Key="k")
    assert (again.json["job"]["id"], again.headers["Idempotency-Replayed"]) == (job["id"], "true")
    assert (await http("POST", f"{PATH}/run", {"overlap": "allow"}, Idempotency_Key="k")).status == 422
    refused = await http("POST", f"{PATH}/run")
    assert (refused.status, refused.problem.code) == (409, "wrong_state")
    assert job["id"] in refused.problem.message
    assert (await http("POST", f"{PATH}/run", {"overlap": "allow"})).status == 201
    fires = (await http("GET", f"{PATH}/fires?n=2")).json["fires"]
    assert [(fire["what"], fire["by"]) for fire in fires] == [("fired", "run"), ("skipped", "run")]


async def test_backfill(http: Http) -> None:
    """How many jobs were made; the same again makes none."""
    await http("PUT", PATH, body(cron="@daily", zone=None))
    span = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-05T00:00:00Z"}
    first, second = [await http("POST", f"{PATH}/backfill", span) for _ in range(2)]
    assert (first.status, first.json, second.json) == (202, {"times": 5}, {"times": 0})
    assert (await http("POST", f"{PATH}/backfill", {"from": "2026-01-01T00:00:00Z"})).problem.fields == "to"


async def test_the_name_of_a_schedule(http: Http) -> None:
    """Letters, digits, dots, _ and -."""
    assert (await http("PUT", "/v1/groups/mail/schedules/a.b-c_1", body())).status == 201
    for name in ("a:b", "a%2Fb", "x" * 129, "a%20b"):
        assert (await http("PUT", f"/v1/groups/mail/schedules/{name}", body())).status == 400
