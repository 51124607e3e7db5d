"""The flow around a job over HTTP: its answer, its parameter, and what a token for some groups sees of it."""

from pathlib import Path

import pytest

from broker.auth.grants import Access
from broker.auth.token_file import digest
from tests.api.client import NO_JOB, Http


async def test_flow_of_a_job(http: Http) -> None:
    """Each job has its id, group, image and status, and of the rest only what it has."""
    first, last = await http.enqueue({"ref": "a", "image": "one"}, {"image": "two", "after": ["a"]})
    answer = (await http("GET", f"/v1/groups/g/jobs/{last['id']}/flow")).json
    assert answer == {
        "jobs": [
            {
                "id": last["id"],
                "group_name": "g",
                "image": "two",
                "status": "delayed",
                "needs": 1,
                "parents": [first["id"]],
            },
            {"id": first["id"], "group_name": "g", "image": "one", "status": "queued"},
        ],
        "more": 0,
    }
    answer = (await http("GET", f"/v1/groups/g/jobs/{last['id']}/flow?n=1")).json
    assert ([job["id"] for job in answer["jobs"]], answer["more"]) == ([last["id"]], 1)


@pytest.mark.parametrize("n", ["0", "1001", "x"])
async def test_flow_of_a_wrong_number(http: Http, n: str) -> None:
    """N is 1 to 1,000."""
    [job] = await http.enqueue({})
    reply = await http("GET", f"/v1/groups/g/jobs/{job['id']}/flow?n={n}")
    assert (reply.status, reply.problem.fields) == (400, "n")


async def test_flow_of_no_job(http: Http) -> None:
    """A job that does not exist, or is in another group, is a 404."""
    [job] = await http.enqueue({})
    for path in (f"g/jobs/{NO_JOB}", f"other/jobs/{job['id']}"):
        assert (await http("GET", f"/v1/groups/{path}/flow")).status == 404


class TestWithTokens:
    """A broker with a token for some groups."""

    @pytest.fixture
    def access(self, tmp_path: Path) -> Access:
        path = tmp_path / "tokens"
        path.write_text(f"{digest('ops').hex()} read,produce *\n{digest('mail').hex()} read mail*\n")
        return Access(path)

    async def test_flow_with_jobs_of_other_groups(self, http: Http) -> None:
        """A token for some groups has of the jobs of others their ids only."""
        ops = {"Authorization": "Bearer ops"}
        made = await http("POST", "/v1/groups/secret/jobs", {"jobs": [{"image": "hidden"}]}, **ops)
        [parent] = made.json["jobs"]
        body = {"jobs": [{"image": "i", "after": [parent["id"]]}]}
        [child] = (await http("POST", "/v1/groups/mail/jobs", body, **ops)).json["jobs"]
        path = f"/v1/groups/mail/jobs/{child['id']}/flow"
        own, other = (await http("GET", path, Authorization="Bearer mail")).json["jobs"]
        assert (own["parents"], other) == ([parent["id"]], {"id": parent["id"]})
        assert (await http("GET", path, **ops)).json["jobs"][1]["image"] == "hidden"
