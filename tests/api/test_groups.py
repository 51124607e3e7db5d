"""list_groups, show_group, create_group, configure, adjust, delete_group."""

from typing import Any

import pytest

from tests.api.client import Http

DEFAULTS: dict[str, Any] = {
    "paused": False,
    "delivery_limit": 5,
    "require_lease": False,
    "retention": {"succeeded": 86_400, "failed": 604_800, "cancelled": 86_400},
    "counts": {"delayed": 0, "queued": 0, "running": 0, "succeeded": 0, "failed": 0, "cancelled": 0},
}
ALL: dict[str, Any] = {
    "image": "i",
    "env_vars": {"A": "1", "B": ""},
    "max_concurrency": 3,
    "paused": True,
    "delivery_limit": 2,
    "require_lease": True,
    "retention": {"succeeded": 0, "failed": 10, "cancelled": 315_360_000},
}


async def test_show_group_that_enqueue_made(http: Http) -> None:
    """A group comes into being with its first jobs, with all settings at their defaults."""
    await http.enqueue({}, {"delay": 5})
    group = (await http("GET", "/v1/groups/g")).json["group"]
    assert group.pop("created_at")
    assert group == {**DEFAULTS, "name": "g", "counts": {**DEFAULTS["counts"], "queued": 1, "delayed": 1}}


async def test_show_group_that_is_not_there(http: Http) -> None:
    """An unknown group is a 404; its list of jobs is empty."""
    reply = await http("GET", "/v1/groups/none")
    assert (reply.status, reply.problem.message) == (404, "There is no such group.")
    assert (await http("GET", "/v1/groups/none/jobs")).json == {"jobs": []}


async def test_configure_everything(http: Http) -> None:
    """PUT makes the group and gives it its settings; GET answers them."""
    reply = await http("PUT", "/v1/groups/g", {"group": ALL})
    assert reply.status == 200
    group = reply.json["group"]
    assert group == (await http("GET", "/v1/groups/g")).json["group"]
    assert {name: group[name] for name in ALL} == ALL


async def test_configure_replaces(http: Http) -> None:
    """A setting that is not given has its default again."""
    await http("PUT", "/v1/groups/g", {"group": ALL})
    group = (await http("PUT", "/v1/groups/g", {"group": {}})).json["group"]
    assert {name: group.get(name) for name in ALL} == {name: DEFAULTS.get(name) for name in ALL}


async def test_create_group(http: Http) -> None:
    """POST makes the group that its body names: 201, and what GET answers."""
    reply = await http("POST", "/v1/groups", {"group": {"name": "new", **ALL}})
    assert reply.status == 201
    assert reply.json["group"] == (await http("GET", "/v1/groups/new")).json["group"]
    assert {name: reply.json["group"][name] for name in ALL} == ALL


async def test_create_group_that_exists(http: Http) -> None:
    """POST sets a group as PUT does: jobs stay, and a setting that is not given has its default again."""
    await http.enqueue()
    await http("PUT", "/v1/groups/g", {"group": ALL})
    reply = await http("POST", "/v1/groups", {"group": {"name": "g", "max_concurrency": 3}})
    group = reply.json["group"]
    assert (reply.status, group["max_concurrency"], group["paused"], group["counts"]["queued"]) == (201, 3, False, 1)


async def test_create_group_as_it_was_shown(http: Http) -> None:
    """A group as GET answers it may be sent to POST: what is not a setting is ignored."""
    group = (await http("PUT", "/v1/groups/g", {"group": ALL})).json["group"]
    assert (await http("POST", "/v1/groups", {"group": group})).json["group"] == group


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, "group"),
        ({"group": {}}, "group.name"),
        ({"group": {"name": "a b"}}, "group.name"),
        ({"group": {"name": "g", "max_concurency": 2}}, "group.max_concurency"),
        ({"group": {"name": "g", "max_concurrency": 0}}, "group.max_concurrency"),
        ({"group": {"name": "g", "env_vars": {"KEY": "••••"}}}, "group.env_vars"),
    ],
)
async def test_create_group_with_an_invalid_field(http: Http, body: Any, fields: str) -> None:
    """What is missing or wrong is named, and no group is made."""
    reply = await http("POST", "/v1/groups", body)
    assert (reply.status, reply.problem.fields) == (400, fields)
    assert (await http("GET", "/v1/groups")).json == {"groups": []}


async def test_configure_a_group_as_it_was_shown(http: Http) -> None:
    """A group as GET answers it may be sent back by PUT: what is not a setting is ignored."""
    group = (await http("PUT", "/v1/groups/g", {"group": ALL})).json["group"]
    assert (await http("PUT", "/v1/groups/g", {"group": group})).json["group"] == group


async def test_configure_image_and_env_vars(http: Http) -> None:
    """Jobs without an image get the group's; who is handed a job gets the group's env_vars."""
    await http("PUT", "/v1/groups/g", {"group": {"image": "of-group", "env_vars": {"A": "1"}}})
    assert (await http("POST", "/v1/groups/g/jobs", {"jobs": [{}]})).json["jobs"][0]["image"] == "of-group"
    [job] = (await http("GET", "/v1/jobs")).json["jobs"]
    assert (job["image"], job["env_vars"]) == ("of-group", {"A": "1"})


async def test_configure_rate_limit(http: Http) -> None:
    """A group with a rate_limit says so, and hands out a second's jobs at once."""
    reply = await http("PUT", "/v1/groups/g", {"group": {"rate_limit": 2}})
    assert reply.json["group"]["rate_limit"] == 2
    assert len(await http.running({}, {}, {})) == 2


async def test_list_groups_in_pages(http: Http) -> None:
    """A cursor leads to the next page, and is not there at the end."""
    names = [f"g{n}" for n in range(5)]
    for name in names:
        await http.enqueue(group=name)
    found, path = [], "/v1/groups?n=2"
    for _ in range(3):
        page = (await http("GET", path)).json
        found += [group["name"] for group in page["groups"]]
        path = f"/v1/groups?n=2&cursor={page.get('cursor')}"
    assert sorted(found) == names
    assert "cursor" not in page


async def test_adjust_changes_what_is_given(http: Http) -> None:
    """PATCH changes the settings that it has; null is the default; what a group shows beyond settings is ignored."""
    await http("PUT", "/v1/groups/g", {"group": ALL})
    changes = {"max_concurrency": 9, "image": None, "paused": False, "counts": {}, "name": "other"}
    reply = await http("PATCH", "/v1/groups/g", {"group": changes})
    assert reply.status == 200
    expected = {**ALL, "max_concurrency": 9, "paused": False}
    del expected["image"]
    group = reply.json["group"]
    assert {name: group.get(name) for name in ALL} == {name: expected.get(name) for name in ALL}
    assert group == (await http("GET", "/v1/groups/g")).json["group"]


async def test_adjust_pause_says_since_when(http: Http) -> None:
    """A pause by PATCH has its time and its note; one by PUT has its time."""
    group = (await http("PATCH", "/v1/groups/g", {"group": {"paused": True, "note": "provider down"}})).json["group"]
    assert group["paused_at"]
    assert (group["note"], "paused_by" in group) == ("provider down", False)
    group = (await http("PUT", "/v1/groups/h", {"group": {"paused": True}})).json["group"]
    assert group.keys() == {"name", "created_at", "paused_at", *DEFAULTS}


async def test_adjust_if_match(http: Http) -> None:
    """The ETag of GET lets one of two changes through, and the other one is a 412 that changes nothing."""
    await http.enqueue()
    tag = (await http("GET", "/v1/groups/g")).headers["ETag"]
    first = await http("PATCH", "/v1/groups/g", {"group": {"paused": True}}, If_Match=tag)
    second = await http("PATCH", "/v1/groups/g", {"group": {"image": "x"}}, If_Match=tag)
    assert (first.status, second.status, second.problem.code) == (200, 412, "changed")
    assert first.headers["ETag"] == (await http("GET", "/v1/groups/g")).headers["ETag"] != tag
    assert "image" not in (await http("GET", "/v1/groups/g")).json["group"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"max_concurrency": 0}, "group.max_concurrency"),
        ({"note": "two\nlines"}, "group.note"),
        ({"note": "x" * 256}, "group.note"),
        ({"paused": "yes"}, "group.paused"),
        ({"retention": {"failed": -1}}, "group.retention.failed"),
        ({"max_concurency": 1}, "group.max_concurency"),
    ],
)
async def test_adjust_with_a_bad_value(http: Http, changes: dict[str, Any], field: str) -> None:
    """A value out of bounds, or an unknown field, is a 400 that names it, and the group is not made."""
    reply = await http("PATCH", "/v1/groups/g", {"group": changes})
    assert (reply.status, reply.problem.fields) == (400, field)
    assert (await http("GET", "/v1/groups/g")).status == 404


@pytest.mark.parametrize("tag", ["x", '"a', "*, *", '"a";"b"'])
async def test_adjust_with_a_bad_if_match(http: Http, tag: str) -> None:
    """An If-Match that has no tags is a 400 that names it."""
    reply = await http("PATCH", "/v1/groups/g", {"group": {}}, If_Match=tag)
    assert (reply.status, reply.problem.fields) == (400, "If-Match")


async def test_delete_group(http: Http) -> None:
    """It answers without a body, and the group, its jobs and its logs are not found any more; nor is it again."""
    [job] = await http.running()
    await http("POST", f"/v1/groups/g/jobs/{job['id']}/log", "hello\n", Content_Type="text/plain")
    await http("POST", f"/v1/groups/g/jobs/{job['id']}/success")
    reply = await http("DELETE", "/v1/groups/g")
    assert (reply.status, reply.text) == (204, "")
    for path in ("/v1/groups/g", f"/v1/groups/g/jobs/{job['id']}", f"/v1/groups/g/jobs/{job['id']}/log"):
        assert (await http("GET", path)).status == 404
    again = await http("DELETE", "/v1/groups/g")
    assert (again.status, again.problem.code, again.problem.message) == (404, "not_found", "There is no such group.")
    assert (await http("GET", "/v1/groups")).json["groups"] == []


async def test_delete_group_with_unfinished_jobs(http: Http) -> None:
    """A group with work to do is a 409 that says how much, and nothing is deleted."""
    await http.enqueue({}, {}, {"delay": 60})
    await http("GET", "/v1/jobs")
    reply = await http("DELETE", "/v1/groups/g")
    assert (reply.status, reply.problem.code) == (409, "wrong_state")
    assert reply.problem.message == "The group has unfinished jobs: 1 delayed, 1 queued, 1 running. Cancel them first."
    assert len((await http("GET", "/v1/groups/g/jobs")).json["jobs"]) == 3


async def test_delete_group_that_takes_too_long(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is over before the last job is a 503 with Retry-After; a repeat continues."""
    for job in await http.enqueue({}, {}):
        await http("POST", f"/v1/groups/g/jobs/{job['id']}/cancel")
    monkeypatch.setattr("broker.store.groups.DELETED", 1)
    monkeypatch.setattr("broker.store.groups.DELETE_S", -1.0)
    reply = await http("DELETE", "/v1/groups/g")
    assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
    assert reply.problem.message == "The group still has 1 job: repeat the call, and it continues."
    assert (await http("DELETE", "/v1/groups/g")).status == 204


async def test_delete_group_with_a_parameter(http: Http) -> None:
    """An unknown parameter is a 400: nobody deletes with a wish that is not heard."""
    await http("PUT", "/v1/groups/g", {"group": {}})
    assert (await http("DELETE", "/v1/groups/g?cancel=1")).status == 400
    assert (await http("GET", "/v1/groups/g")).status == 200
