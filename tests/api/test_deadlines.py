"""Times of new jobs over HTTP: run_at, and by when a job must have started and ended."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from broker.core.timestamps import EXAMPLE, rfc3339
from tests.api.client import Http
from tests.conftest import NOW
from tests.contract.building import wait
from tests.stores import Store

JOBS = "/v1/groups/g/jobs"
A_YEAR_S = 31_536_000
TIMES = ("run_at", "start_before", "end_before")
SPANS = ("start_within", "end_within")
PAIRS = [("delay", "run_at"), ("start_within", "start_before"), ("end_within", "end_before")]
NO_TIMES = [
    *("yesterday", "2026-11-23", "2026-11-23T10:00:00", "2026-13-01T00:00:00Z", "2026-11-23T25:00:00Z", "1795461794"),
    *("2026-11-23T10:00:00+24:00", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "٢٠٢٦-11-23T10:00:00Z"),
    *("\x00", "2026-11-23T10:00:00Z\n", 5, 1.5, True, [], {}),
]
NO_SPANS = [0, -1, A_YEAR_S + 1, 1.5, "5", "2m", True, [], {}, 10**30]


def _at(seconds: float) -> str:
    """A time so many seconds after the clock of the store, in UTC."""
    return rfc3339(NOW + round(seconds * 1000))


@pytest.fixture(autouse=True)
def clock(store: Store) -> None:
    """The clock of the store is at NOW until a test moves it."""
    store.now = str(NOW)


async def _refusal(http: Http, job: dict[str, Any]) -> tuple[int, str, str]:
    """The status, the field and the sentence for a call whose second job is this one."""
    reply = await http("POST", JOBS, {"jobs": [{"image": "i"}, {"image": "i", **job}]})
    assert reply.problem.code == "invalid"
    return reply.status, reply.problem.fields, reply.problem.message


@pytest.mark.parametrize("field", TIMES)
@pytest.mark.parametrize("value", NO_TIMES, ids=range(len(NO_TIMES)))
async def test_time_that_is_none(http: Http, snapshot: Callable[[], Awaitable[Any]], field: str, value: Any) -> None:
    """What is no time is refused with the field and an example, and none of the jobs is enqueued."""
    before = await snapshot()
    path = f"jobs[1].{field}"
    assert await _refusal(http, {field: value}) == (400, path, f"{path} must be an RFC 3339 time, such as {EXAMPLE}.")
    assert await snapshot() == before


@pytest.mark.parametrize("field", SPANS)
@pytest.mark.parametrize("value", NO_SPANS, ids=range(len(NO_SPANS)))
async def test_span_that_is_none(http: Http, snapshot: Callable[[], Awaitable[Any]], field: str, value: Any) -> None:
    """A span is a whole number of seconds above 0: a job that must start within 0 s never would."""
    before = await snapshot()
    path = f"jobs[1].{field}"
    assert await _refusal(http, {field: value}) == (400, path, f"{path} must be a whole number from 1 to {A_YEAR_S}.")
    assert await snapshot() == before


@pytest.mark.parametrize(("span", "time"), PAIRS)
async def test_time_that_is_given_twice(
    http: Http, snapshot: Callable[[], Awaitable[Any]], span: str, time: str
) -> None:
    """A span and a time for the same are refused with the names of both."""
    before = await snapshot()
    text = f"jobs[1] has {span} and {time}, which mean the same: send one."
    assert await _refusal(http, {span: 5, time: _at(5)}) == (400, f"jobs[1].{time}", text)
    assert await snapshot() == before


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("run_att", "run_at"),
        ("start_witin", "start_within"),
        ("startBefore", "start_before"),
        ("end_wihtin", "end_within"),
        ("ends_before", "end_before"),
    ],
)
async def test_misspelt_name_of_a_time(http: Http, name: str, known: str) -> None:
    """A misspelt deadline is refused with the nearest name: otherwise the job would have none."""
    text = f"There is no field {name} in jobs[1]; did you mean {known}?"
    assert await _refusal(http, {name: 5}) == (400, f"jobs[1].{name}", text)


@pytest.mark.parametrize("value", [None, "", "0001-01-01T00:00:00Z"])
async def test_time_that_is_not_given(http: Http, value: Any) -> None:
    """Null, an empty text and Go's zero time mean that a time is not given, and go together with a span."""
    [plain] = await http.enqueue(dict.fromkeys(TIMES, value))
    assert (plain["status"], plain["delay"]) == ("queued", 0)
    assert not {"start_before", "end_before"} & plain.keys()
    [spans] = await http.enqueue({**dict.fromkeys(TIMES, value), "delay": 5, "start_within": 6, "end_within": 7})
    assert (spans["delay"], spans["start_before"], spans["end_before"]) == (5, _at(6), _at(7))
    [nulls] = await http.enqueue({"start_within": None, "start_before": _at(6), "end_within": None, "delay": None})
    assert (nulls["start_before"], "end_before" in nulls) == (_at(6), False)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("2126-01-31T13:00:00+01:00", "2126-01-31T12:00:00.000Z"),
        ("2126-01-31T12:00:00.1239999Z", "2126-01-31T12:00:00.123Z"),
        ("2126-01-31t12:00:00z", "2126-01-31T12:00:00.000Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
    ],
)
async def test_times_are_shown_in_utc(http: Http, sent: str, shown: str) -> None:
    """The answers of enqueue, show, list and next have deadlines in UTC with milliseconds."""
    [made] = await http.enqueue({"start_before": sent, "end_before": sent})
    [listed] = (await http("GET", JOBS)).json["jobs"]
    one = (await http("GET", f"{JOBS}/{made['id']}")).json["job"]
    [taken] = (await http("GET", "/v1/jobs")).json["jobs"]
    for job in (made, listed, one, taken):
        assert (job["start_before"], job["end_before"]) == (shown, shown)


async def test_run_at_of_a_delayed_job(http: Http) -> None:
    """A job with run_at is delayed until then; `delay` is what remains, rounded up, and run_at in the past is now."""
    later, now, past = await http.enqueue(
        {"run_at": _at(90.25)}, {"run_at": _at(0)}, {"run_at": "1970-01-01T00:00:00Z"}
    )
    assert (later["status"], later["delay"]) == ("delayed", 91)
    assert [(job["status"], job["delay"]) for job in (now, past)] == [("queued", 0)] * 2
    assert not [job for job in (later, now, past) if "run_at" in job]


async def test_run_at_is_as_near_as_a_delay(http: Http) -> None:
    """The delay that an answer has can be sent back: a later run_at is refused, with the field and the bound."""
    [job] = await http.enqueue({"run_at": _at(A_YEAR_S)})
    assert job["delay"] == A_YEAR_S
    [again] = await http.enqueue({"delay": job["delay"]})
    assert again["delay"] == A_YEAR_S
    text = "jobs[1].run_at must be at most 31536000 s from now, as delay."
    for late in (_at(A_YEAR_S + 0.001), "9999-12-31T23:59:59Z"):
        assert await _refusal(http, {"run_at": late}) == (400, "jobs[1].run_at", text)


async def test_bounds_of_spans(http: Http) -> None:
    """The least and the most of each span are accepted, also for a whole call."""
    most, least, *_ = await http.enqueue(
        {"start_within": A_YEAR_S, "end_within": A_YEAR_S},
        {"start_within": 1, "end_within": 1},
        *[{"end_within": 5}] * 998,
    )
    assert (most["start_before"], most["end_before"]) == (_at(A_YEAR_S), _at(A_YEAR_S))
    assert (least["start_before"], least["end_before"]) == (_at(1), _at(1))


async def test_same_key_answers_the_same_times(http: Http, store: Store) -> None:
    """A repeat is answered with the times of the first call; other times with the same key are another call."""
    body = {"jobs": [{"image": "i", "run_at": _at(90.25), "end_within": 300}, {"image": "i", "start_within": 5}]}
    first = await http("POST", JOBS, body, Idempotency_Key="k")
    wait(store, 50)
    again = await http("POST", JOBS, body, Idempotency_Key="k")
    assert (again.status, again.json, again.headers["Idempotency-Replayed"]) == (201, first.json, "true")
    other = {"jobs": [body["jobs"][0], {"image": "i", "start_within": 6}]}
    assert (await http("POST", JOBS, other, Idempotency_Key="k")).problem.code == "idempotency_mismatch"
    unlike = {"jobs": [{"image": "i"}, {"image": "i"}]}
    assert (await http("POST", JOBS, unlike, Idempotency_Key="k")).problem.code == "idempotency_mismatch"
    assert len((await http("GET", JOBS)).json["jobs"]) == 2


async def test_job_that_is_sent_back(http: Http) -> None:
    """A whole job as the broker shows it is a new job with the same deadlines and the same delay."""
    [made] = await http.enqueue({"delay": 60, "start_within": 120, "end_within": 300, "payload": "p"})
    shown = (await http("GET", f"{JOBS}/{made['id']}")).json["job"]
    [again] = await http.enqueue(shown)
    assert again.pop("id") != made.pop("id")
    assert again == made
    status, field, _ = await _refusal(http, {**shown, "start_within": 5})
    assert (status, field) == (400, "jobs[1].start_before")


async def test_late_job_over_http(http: Http, store: Store) -> None:
    """A job that nobody took in time is listed by its reason, and its history says when it was late."""
    late, kept = await http.enqueue({"start_within": 5, "max_retries": 3}, {"start_within": 6})
    wait(store, 5)
    await store.reap(10)
    [failed] = (await http("GET", f"{JOBS}?status=failed&reason=expired")).json["jobs"]
    assert (failed["id"], failed["reason"], "retry_at" in failed) == (late["id"], "expired", False)
    events = (await http("GET", f"{JOBS}/{late['id']}/history")).json["events"]
    assert [(event["what"], event.get("from"), event.get("to")) for event in events] == [
        ("created", None, "queued"),
        ("late", "queued", "failed"),
        ("failed", None, "failed"),
    ]
    assert (events[1]["at"], events[2]["reason"]) == (_at(5), "expired")
    await store.counts.flush()
    last = (await http("GET", "/v1/groups/g/stats")).json["slots"][-1]
    assert (last["in"], last["out"], last["failed"]) == (2, 0, 1)
    [cause] = (await http("GET", "/v1/groups/g/failures")).json["causes"]
    assert (cause["reason"], cause["n"]) == ("expired", 1)
    assert [job["id"] for job in (await http("GET", "/v1/jobs?n=5")).json["jobs"]] == [kept["id"]]


async def test_why_names_the_deadlines(http: Http, store: Store) -> None:
    """Why says by when a job must be taken and end, of a job and of the first one of a group, until it is finished."""
    [job] = await http.enqueue({"start_within": 130, "end_within": 90_000})

    async def reasons(path: str) -> list[dict[str, Any]]:
        found = (await http("GET", f"{path}/why")).json["reasons"]
        return [reason for reason in found if reason["code"] in {"must_start", "must_end"}]

    path = f"{JOBS}/{job['id']}"
    assert await reasons(path) == [
        {
            "code": "must_start",
            "text": "It must be taken within 2 min 10 s (19:25:24 UTC), or fails with the reason expired.",
            "until": _at(130),
        },
        {
            "code": "must_end",
            "text": "It must end within 1 d 1 h (2026-11-24 20:23:14 UTC), or fails with the reason timeout.",
            "until": _at(90_000),
        },
    ]
    assert [reason["text"][:23] for reason in await reasons("/v1/groups/g")] == ["The next job of g must "] * 2
    wait(store, 140)
    [late, _] = await reasons(path)
    text = "It had to be taken 10 s ago (19:25:24 UTC), and fails with the reason expired as soon as a reaper sees it."
    assert late["text"] == text
    wait(store, -140)
    await http("GET", "/v1/jobs")
    assert [reason["code"] for reason in await reasons(path)] == ["must_end"]
    await http("POST", f"{path}/success")
    assert await reasons(path) == []
    assert await reasons("/v1/groups/g") == []


async def test_touch_of_a_job_that_must_end(http: Http, store: Store) -> None:
    """A touch gives a lease up to the end of the job and no further; after the end it is a 409 of a failed job."""
    [job] = await http.running({"timeout": 60, "end_within": 90})
    assert job["expires_at"] == _at(60)
    wait(store, 59)
    touched = await http("POST", f"{JOBS}/{job['id']}/touch", {"lease": job["lease"]})
    assert (touched.status, touched.headers["Titan-Expires-At"]) == (204, _at(90))
    wait(store, 31)
    await store.reap(10)
    refused = await http("POST", f"{JOBS}/{job['id']}/success", {"lease": job["lease"]})
    assert (refused.status, refused.problem.code) == (409, "wrong_state")
    shown = (await http("GET", f"{JOBS}/{job['id']}")).json["job"]
    assert (shown["status"], shown["reason"]) == ("failed", "timeout")


async def test_openapi_describes_times(http: Http) -> None:
    """The document has the fields of new jobs with their bounds, and the deadlines of a job as times."""
    schemas = (await http("GET", "/v1/openapi.json")).json["components"]["schemas"]
    new, job = schemas["NewJob"]["properties"], schemas["Job"]["properties"]
    for name in SPANS:
        [number] = [kind for kind in new[name]["anyOf"] if kind["type"] == "integer"]
        assert (number["minimum"], number["maximum"]) == (1, A_YEAR_S)
    for field in (*(new[name] for name in TIMES), job["start_before"], job["end_before"]):
        kinds = field.get("anyOf", [field])
        assert [kind["format"] for kind in kinds if kind["type"] == "string"] == ["date-time"]
    assert "run_at" not in job
