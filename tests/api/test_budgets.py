"""Rates, budgets and priority_boost of a group over HTTP."""

import pytest

from tests.api.client import Http
from tests.api.test_audit import entries

GROUP = "/v1/groups/g"
JOBS = f"{GROUP}/jobs"


async def test_a_rate_with_a_time_and_a_burst(http: Http) -> None:
    """It is shown as it was given, with its defaults; a number stays a number; null and PUT without it are no limit."""
    rate = {"jobs": 5000, "per": 3600, "burst": 50}
    shown = (await http("PUT", GROUP, {"group": {"rate_limit": rate}})).json["group"]
    assert shown["rate_limit"] == rate
    for given, kept in (
        ({"jobs": 4, "per": 60}, {"jobs": 4, "per": 60, "burst": 4}),
        ({"jobs": 4, "burst": None}, {"jobs": 4, "per": 1, "burst": 4}),
        (7, 7),
    ):
        shown = (await http("PATCH", GROUP, {"group": {"rate_limit": given}})).json["group"]
        assert shown["rate_limit"] == kept
    assert "rate_limit" not in (await http("PATCH", GROUP, {"group": {"rate_limit": None}})).json["group"]


async def test_patch_keeps_what_is_not_given(http: Http) -> None:
    """A change of one of them keeps the others; a rate is replaced as a whole."""
    group = {"rate_limit": {"jobs": 9, "per": 60, "burst": 3}, "max_jobs": 10, "max_bytes": 1000, "priority_boost": 5}
    await http("PUT", GROUP, {"group": group})
    changed = await http("PATCH", GROUP, {"group": {"max_bytes": None, "rate_limit": {"jobs": 8, "per": 60}}})
    shown = changed.json["group"]
    assert shown["rate_limit"] == {"jobs": 8, "per": 60, "burst": 8}
    assert (shown["max_jobs"], shown.get("max_bytes"), shown["priority_boost"]) == (10, None, 5)
    [listed] = (await http("GET", "/v1/groups")).json["groups"]
    assert listed == shown
    assert "rate_limit 8/60/8" in (await entries(http, 2))[-1]["detail"]


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"rate_limit": {"per": 60}}, "group.rate_limit"),
        ({"rate_limit": {"jobs": 0}}, "group.rate_limit.jobs"),
        ({"rate_limit": {"jobs": 1, "per": 86_401}}, "group.rate_limit.per"),
        ({"rate_limit": {"jobs": 1, "burst": 0}}, "group.rate_limit.burst"),
        ({"rate_limit": {"jobs": 1, "brust": 2}}, "group.rate_limit"),
        ({"rate_limit": "5000/h"}, "group.rate_limit"),
        ({"max_jobs": 0}, "group.max_jobs"),
        ({"max_bytes": -1}, "group.max_bytes"),
        ({"priority_boost": 0}, "group.priority_boost"),
        ({"priority_boost": 1_000_001}, "group.priority_boost"),
    ],
)
async def test_out_of_bounds(http: Http, given: dict[str, object], fields: str) -> None:
    """A value out of bounds, and a name that no rate has, is a 400 that says where."""
    for method in ("PUT", "PATCH"):
        refused = await http(method, GROUP, {"group": given})
        assert (refused.status, refused.problem.code) == (400, "invalid")
        assert str(refused.problem.fields).startswith(fields)


async def test_a_group_that_becomes_full(http: Http) -> None:
    """From 0.8 on each enqueue says how full the group is; a full one is a 429, and a reason of why."""
    await http("PUT", GROUP, {"group": {"max_jobs": 6}})
    found = [await http("POST", JOBS, {"jobs": [{"image": "i"}] * n}) for n in (4, 1, 1, 1)]
    assert [reply.status for reply in found] == [201, 201, 201, 429]
    assert [reply.headers.get("Titan-Group-Full") for reply in found] == [None, "0.83", "1.00", None]
    assert found[-1].headers["Retry-After"] == "1"
    assert "6 unfinished jobs, and may have 6" in found[-1].problem.message
    why = (await http("GET", f"{GROUP}/why")).json
    [full] = [reason for reason in why["reasons"] if reason["code"] == "group_full"]
    assert (full["n"], full["limit"]) == (6, 6)


async def test_members_of_a_batch_say_how_full_their_group_is(http: Http) -> None:
    """Jobs that are added to a batch count as any other."""
    await http("PUT", GROUP, {"group": {"max_jobs": 4}})
    opened = {"batch": {"open": True, "jobs": [{"image": "i"}]}}
    batch = (await http("POST", f"{GROUP}/batches", opened)).json["batch"]
    added = await http("POST", f"{GROUP}/batches/{batch['id']}/jobs", {"jobs": [{"image": "i"}] * 3})
    assert (added.status, added.headers["Titan-Group-Full"]) == (201, "1.00")
