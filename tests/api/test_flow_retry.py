"""`POST …/retry?dependants=1`: a job that failed and all that was cancelled because of that are made again."""

from tests.api.client import Http
from tests.stores import Store

JOBS = "/v1/groups/g/jobs"


async def test_retry_with_dependants(http: Http, store: Store) -> None:
    """The answer has the new job, and which new job repeats which other one; without the parameter it has none."""
    [parent] = await http.running()
    [child] = await http.enqueue({"after": [parent["id"]]})
    await http("POST", f"{JOBS}/{parent['id']}/error", {"lease": parent["lease"]})
    await store.maintenance.settle(100)
    answer = await http("POST", f"{JOBS}/{parent['id']}/retry?dependants=1")
    assert answer.status == 200
    new, [other] = answer.json["job"], answer.json["dependants"]
    assert (new["retry_of"], other["retry_of"], other["group_name"]) == (parent["id"], child["id"], "g")
    held = (await http("GET", f"{JOBS}/{other['id']}")).json["job"]
    assert (held["status"], held["after"], held["waits_for"]) == ("delayed", [new["id"]], {"jobs": 1})
    again = await http("POST", f"{JOBS}/{parent['id']}/retry?dependants=1")
    assert (again.status, again.json["error"]["code"]) == (409, "wrong_state")


async def test_a_wrong_parameter(http: Http) -> None:
    """Another value is refused with the name of the parameter."""
    [job] = await http.enqueue()
    answer = await http("POST", f"{JOBS}/{job['id']}/retry?dependants=2")
    assert (answer.status, answer.json["error"]["fields"]) == (400, "dependants")
