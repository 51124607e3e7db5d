"""Dead letters and defaults of groups over HTTP: what is taken, what is refused, and what jobs and groups show."""

from typing import Any

import pytest

from tests.api.client import Http

GROUP = "/v1/groups/g"


async def refusal(http: Http, method: str, path: str, body: Any) -> tuple[int, str, str]:
    reply = await http(method, path, body)
    return reply.status, reply.problem.fields, reply.problem.message


async def test_settings_of_a_group(http: Http) -> None:
    """PUT, PATCH and POST take both settings, GET shows them, null resets them."""
    put = (await http("PUT", GROUP, {"group": {"dead_letter_to": "dead", "start_within": 60}})).json["group"]
    assert (put["dead_letter_to"], put["start_within"]) == ("dead", 60)
    patched = (await http("PATCH", GROUP, {"group": {"start_within": None}})).json["group"]
    assert (patched["dead_letter_to"], "start_within" in patched) == ("dead", False)
    shown = (await http("GET", GROUP)).json["group"]
    assert (shown["dead_letter_to"], shown["dead_letters"]) == ("dead", 0)
    posted = await http("POST", "/v1/groups", {"group": {"name": "h", "dead_letter_to": "g", "start_within": 1}})
    assert posted.json["group"]["dead_letter_to"] == "g"
    assert "dead_letter_to" not in (await http("PUT", GROUP, {"group": {}})).json["group"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("dead_letter_to", value) for value in ("", "no name", "x" * 129, 5, ["dead"])),
        *(("start_within", value) for value in (0, -1, 31_536_001, "5", 1.5)),
    ],
)
async def test_settings_that_are_none(http: Http, field: str, value: Any) -> None:
    """What is no name and no span is refused with the field, in each of the three calls."""
    body, path = {field: value}, f"group.{field}"
    for method, where, more in (("PUT", GROUP, {}), ("PATCH", GROUP, {}), ("POST", "/v1/groups", {"name": "h"})):
        status, fields, _ = await refusal(http, method, where, {"group": {**body, **more}})
        assert (status, fields) == (400, path), method


async def test_rings_are_refused(http: Http) -> None:
    """The refusal names the field and says what would happen."""
    own = await refusal(http, "PUT", GROUP, {"group": {"dead_letter_to": "g"}})
    assert own == (400, "group.dead_letter_to", "A group cannot have its own dead letters.")
    await http("PUT", GROUP, {"group": {"dead_letter_to": "dead"}})
    ring = await refusal(http, "PATCH", "/v1/groups/dead", {"group": {"dead_letter_to": "g"}})
    assert ring == (400, "group.dead_letter_to", "The dead letters of g come back to this group.")


async def test_a_job_and_its_copy(http: Http) -> None:
    """Each names the other, in lists and in single answers; next delivers the copy like any job."""
    await http("PUT", GROUP, {"group": {"dead_letter_to": "dead"}})
    await http.enqueue({"payload": "p"})
    [taken] = (await http("GET", "/v1/jobs?group=g")).json["jobs"]
    path = f"{GROUP}/jobs/{taken['id']}"
    assert (await http("POST", f"{path}/error", {"reason": "r"}, Titan_Lease=taken["lease"])).status == 200
    [copy] = (await http("GET", "/v1/groups/dead/jobs")).json["jobs"]
    assert (copy["retry_of"], copy["dead_letter_of"], copy["payload"]) == (taken["id"], "g", "p")
    [listed] = (await http("GET", f"{GROUP}/jobs")).json["jobs"]
    shown = (await http("GET", path)).json["job"]
    assert listed["dead_letter"] == shown["dead_letter"] == {"group_name": "dead", "id": copy["id"]}
    why = (await http("GET", f"{path}/why")).json
    assert f"its dead letter is {copy['id']} in dead" in why["verdict"]
    [delivered] = (await http("GET", "/v1/jobs")).json["jobs"]
    assert (delivered["id"], delivered["dead_letter_of"]) == (copy["id"], "g")


async def test_a_copy_is_enqueued_as_it_is(http: Http) -> None:
    """Whoever sends a copy back as a new job gets a job: what only the broker writes is ignored."""
    await http("PUT", GROUP, {"group": {"dead_letter_to": "dead"}})
    await http.enqueue({})
    [taken] = (await http("GET", "/v1/jobs?group=g")).json["jobs"]
    await http("POST", f"{GROUP}/jobs/{taken['id']}/error", {}, Titan_Lease=taken["lease"])
    old = (await http("GET", f"{GROUP}/jobs/{taken['id']}")).json["job"]
    [copy] = (await http("GET", "/v1/groups/dead/jobs")).json["jobs"]
    for job in (old, copy):
        [made] = (await http("POST", f"{GROUP}/jobs", {"jobs": [job]})).json["jobs"]
        assert not {"dead_letter", "dead_letter_of", "retry_of"} & made.keys()
