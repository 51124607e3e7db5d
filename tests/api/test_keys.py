"""Keys of jobs over HTTP: what is taken, what is refused, and what jobs, groups and lists of keys show."""

from typing import Any

import pytest

from tests.api.client import Http
from tests.contract.flows import settle
from tests.stores import Store

GROUP = "/v1/groups/g"


async def test_settings_of_a_group(http: Http) -> None:
    """PUT, PATCH and POST take both settings, GET shows them, null resets them."""
    put = (await http("PUT", GROUP, {"group": {"key_concurrency": 2, "key_strict": True}})).json["group"]
    assert (put["key_concurrency"], put["key_strict"]) == (2, True)
    patched = (await http("PATCH", GROUP, {"group": {"key_concurrency": None}})).json["group"]
    assert ("key_concurrency" in patched, patched["key_strict"]) == (False, True)
    posted = await http("POST", "/v1/groups", {"group": {"name": "h", "key_concurrency": 1000}})
    assert (posted.json["group"]["key_concurrency"], posted.json["group"].get("key_strict")) == (1000, None)


async def test_fair_keys_of_a_group(http: Http) -> None:
    """PUT and PATCH take it, and GET says that it is asleep while the order of groups is fifo."""
    put = (await http("PUT", GROUP, {"group": {"fair_keys": True}})).json["group"]
    assert (put["fair_keys"], put["asleep"]) == (True, ["fair_keys"])
    await http("PUT", "/v1/settings", {"settings": {"order": "fair"}})
    assert "asleep" not in (await http("GET", GROUP)).json["group"]
    await http("POST", f"{GROUP}/jobs", {"jobs": [{"image": "i", "key": "loud", "payload": "loud"}] * 3})
    made = await http("POST", f"{GROUP}/jobs", {"jobs": [{"image": "i", "payload": "none"}]}, Idempotency_Key="k")
    assert (
        await http("POST", f"{GROUP}/jobs", {"jobs": [{"image": "i", "payload": "none"}]}, Idempotency_Key="k")
    ).json == made.json
    taken = (await http("GET", "/v1/jobs?group=g&n=2")).json["jobs"]
    assert [job["payload"] for job in taken] == ["loud", "none"]
    why = (await http("GET", f"{GROUP}/jobs/{(await http('GET', f'{GROUP}/jobs?n=9')).json['jobs'][2]['id']}/why")).json
    assert "its keys take turns" in str(why)
    patched = (await http("PATCH", GROUP, {"group": {"fair_keys": None}})).json["group"]
    assert "fair_keys" not in patched


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("fair_keys", value) for value in (1, "yes")),
        *(("key_concurrency", value) for value in (0, -1, 1001, "2", 1.5)),
        ("key_strict", 1),
        ("key_strict", "yes"),
    ],
)
async def test_settings_out_of_bounds(http: Http, field: str, value: Any) -> None:
    """The refusal names the field."""
    refused = await http("PUT", GROUP, {"group": {field: value}})
    assert (refused.status, refused.problem.fields) == (400, f"group.{field}")


@pytest.mark.parametrize("key", ["", "x" * 129, "a\nb", "\x7f", 7, ["acme"], {"key": "acme"}])
async def test_what_is_no_key(http: Http, key: Any) -> None:
    """1 to 128 characters, none of them a control character."""
    refused = await http("POST", f"{GROUP}/jobs", {"jobs": [{"image": "i"}, {"image": "i", "key": key}]})
    assert (refused.status, refused.problem.fields) == (400, "jobs[1].key")
    assert "must be a text of 1 to 128 characters, none of them a control character." in refused.problem.message


@pytest.mark.parametrize("key", ["x" * 128, "Ä" * 128, "a b:c}{0}", '"\\', "lane:x"])
async def test_any_text_is_a_key(http: Http, key: str) -> None:
    """It comes back as it was sent: from enqueue, show, a list and the keys of the group."""
    await http("PUT", GROUP, {"group": {"key_concurrency": 1}})
    made = await http("POST", f"{GROUP}/jobs", {"jobs": [{"image": "i", "key": key}] * 2}, Idempotency_Key="k")
    first, second = made.json["jobs"]
    assert [first.get("waits_for"), second["waits_for"]] == [None, {"key": key}]
    assert [first["status"], second["status"], second["key"]] == ["queued", "delayed", key]
    again = await http("POST", f"{GROUP}/jobs", {"jobs": [{"image": "i", "key": key}] * 2}, Idempotency_Key="k")
    assert again.json == made.json
    assert (await http("GET", f"{GROUP}/jobs/{second['id']}")).json["job"] == second
    assert [job["key"] for job in (await http("GET", f"{GROUP}/jobs")).json["jobs"]] == [key, key]
    [found] = (await http("GET", f"{GROUP}/keys?n=5")).json["keys"]
    assert found == {"key": key, "queued": 1, "running": 0, "held": 1, "oldest_at": first["created_at"]}


async def test_jobs_without_a_key(http: Http) -> None:
    """They are beside the keys, with their turn while keys take turns: these jobs are one key then."""
    await http("PUT", GROUP, {"group": {"fair_keys": True}})
    await http("POST", f"{GROUP}/jobs", {"jobs": [{"image": "i", "key": "acme"}, {"image": "i"}, {"image": "i"}]})
    assert (await http("GET", f"{GROUP}/keys")).json["no_key"] == {"queued": 2, "running": 0}
    await http("PUT", "/v1/settings", {"settings": {"order": "fair"}})
    listed = (await http("GET", f"{GROUP}/keys")).json
    assert (listed["keys"][0]["turn"], listed["no_key"]) == (1, {"queued": 2, "running": 0, "turn": 2})


async def test_a_callback_has_no_key(http: Http) -> None:
    """A callback of a batch is refused with the field."""
    batch = {"jobs": [{"image": "i", "key": "acme"}], "on_over": {"image": "i", "key": "acme"}}
    refused = await http("POST", f"{GROUP}/batches", {"batch": batch})
    assert (refused.status, refused.problem.fields) == (400, "batch.on_over.key")


async def test_members_have_keys(http: Http, store: Store) -> None:
    """A batch ends though its members run one after another; members that are retried have their keys."""
    await http("PUT", GROUP, {"group": {"key_concurrency": 1}})
    jobs = [{"image": "i", "key": "acme"}, {"image": "i", "key": "acme"}]
    batch = (await http("POST", f"{GROUP}/batches", {"batch": {"jobs": jobs}})).json["batch"]["id"]
    members = (await http("GET", f"{GROUP}/batches/{batch}/jobs")).json["jobs"]
    assert [member["status"] for member in members] == ["queued", "delayed"]
    for _ in members:
        [taken] = (await http("GET", "/v1/jobs?group=g")).json["jobs"]
        await http("POST", f"{GROUP}/jobs/{taken['id']}/error", {"reason": "r"})
        await settle(store)
    assert (await http("GET", f"{GROUP}/batches/{batch}?wait=5")).json["batch"]["state"] == "failed"
    again = (await http("POST", f"{GROUP}/batches/{batch}/retry")).json["batch"]["id"]
    repeated = (await http("GET", f"{GROUP}/batches/{again}/jobs")).json["jobs"]
    assert [(member["key"], member["status"]) for member in repeated] == [("acme", "queued"), ("acme", "delayed")]
