"""The limits that are settings, each at its edge: what is just within passes, and how what is over it is answered."""

import pytest

from broker.core.settings import BrokerSettings
from tests.api.client import Http, Reply

JOBS = "/v1/groups/g/jobs"
SIZES = {
    "max_batch": 3,
    "max_idempotency_key_length": 5,
    "max_group_jobs": 4,
    "max_group_bytes": 100,
    "idempotency_ttl_s": 7,
}


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> BrokerSettings:
    """Those settings that a test names, small."""
    return BrokerSettings(key_prefix="limits", **{name: SIZES[name] for name in request.param})


def only(*names: str) -> pytest.MarkDecorator:
    """A broker with these limits small, and all others at their defaults."""
    return pytest.mark.parametrize("settings", [names], indirect=True, ids="+".join)


async def enqueue(http: Http, n: int, payload: str = "", **headers: str) -> Reply:
    return await http("POST", JOBS, {"jobs": [{"image": "i", "payload": payload}] * n}, **headers)


@only("max_batch")
async def test_enqueue_of_a_large_batch(http: Http) -> None:
    """One enqueue has max_batch jobs at most; what consumers report in bulk, and take, is not bounded by it."""
    refused = await enqueue(http, 4)
    assert (refused.status, refused.problem.code, refused.problem.fields) == (400, "invalid", "jobs")
    assert "3 jobs at most" in refused.problem.message
    for _ in range(2):
        assert (await enqueue(http, 3)).status == 201
    taken = (await http("GET", "/v1/jobs?n=1000")).json["jobs"]
    held = [{"group_name": "g", "id": job["id"], "lease": job["lease"]} for job in taken]
    assert len(held) == 6
    for path, items in (("touch", held), ("finish", [{**item, "status": "succeeded"} for item in held])):
        told = (await http("POST", f"/v1/jobs/{path}", {"jobs": items})).json["jobs"]
        assert [item["ok"] for item in told] == [True] * 6


@only("max_idempotency_key_length")
async def test_enqueue_with_a_long_key(http: Http) -> None:
    """An Idempotency-Key has as many characters as the setting says, and no more."""
    assert (await enqueue(http, 1, Idempotency_Key="k" * 5)).status == 201
    refused = await enqueue(http, 1, Idempotency_Key="k" * 6)
    assert (refused.status, refused.problem.fields) == (400, "Idempotency-Key")
    assert "1 to 5" in refused.problem.message


@only("idempotency_ttl_s")
async def test_enqueue_with_a_key_that_is_kept(http: Http, store) -> None:
    """A key is kept for as long as the setting says."""
    await enqueue(http, 1, Idempotency_Key="k")
    [name] = [key async for key in store.redis.scan_iter("limits:*:answer:*")]
    assert 5_000 < await store.redis.pttl(name) <= 7_000


@only("max_group_jobs")
async def test_enqueue_into_a_full_group(http: Http) -> None:
    """A group with all the unfinished jobs that it may have is a 429 that says when to come again, until one ends."""
    assert (await enqueue(http, 3)).status == 201
    for refused in (await enqueue(http, 2), await enqueue(http, 2, Idempotency_Key="k")):
        assert (refused.status, refused.problem.code, refused.headers["Retry-After"]) == (429, "limit_reached", "1")
        assert "3 unfinished jobs, and may have 4" in refused.problem.message
    assert (await enqueue(http, 1)).status == 201
    [job] = (await http("GET", "/v1/jobs")).json["jobs"]
    assert (await enqueue(http, 1)).status == 429
    await http("POST", f"{JOBS}/{job['id']}/error")
    assert (await enqueue(http, 1)).status == 201
    assert (await http("POST", f"{JOBS}/{job['id']}/retry")).status == 429
    never = await enqueue(http, 5)
    assert (never.status, never.problem.fields) == (400, "jobs")


@only("max_group_bytes")
async def test_enqueue_into_a_group_full_of_bytes(http: Http) -> None:
    """A group whose unfinished jobs have all the bytes that they may have is a 429; what never fits is a 413."""
    kept = len('{"image":"i","payload":""}')
    assert (await enqueue(http, 1, "x" * (60 - kept))).status == 201
    refused = await enqueue(http, 1, "x" * (41 - kept))
    assert (refused.status, refused.problem.code, refused.headers["Retry-After"]) == (429, "limit_reached", "1")
    assert "60 bytes, and may have 100" in refused.problem.message
    assert (await enqueue(http, 1, "x" * (40 - kept))).status == 201
    for headers in ({}, {"Idempotency_Key": "k"}):
        never = await enqueue(http, 1, "x" * (101 - kept), **headers)
        assert (never.status, never.problem.code) == (413, "too_large")


@only()
async def test_without_limits(http: Http) -> None:
    """At the defaults a group takes what comes."""
    assert (await enqueue(http, 1000, "x" * 1000)).status == 201
    assert (await enqueue(http, 1, "x" * 1_000_000)).status == 201
