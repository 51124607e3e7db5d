"""Results of jobs in the dashboard: masked as payloads are."""

from tests.api.test_audit import entries
from tests.ui.conftest import LogIn

SECRET = {"user": "ann", "password": "hunter2", "log": "token: abc"}
MASKED = {"user": "ann", "password": "••••", "log": "token: ••••"}


async def test_session_sees_a_masked_result(log_in: LogIn, tokens) -> None:
    """A session sees the mask in a result, in the job and in a list of results; an admin reveals it, for the audit."""
    person = await log_in("admin")
    http, admin = person.http, tokens.headers("admin")
    made = await http("POST", "/v1/groups/g/jobs", {"jobs": [{"image": "i"}]}, **admin)
    path = f"/v1/groups/g/jobs/{made.json['jobs'][0]['id']}"
    await http("GET", "/v1/jobs?group=g", **admin)
    assert (await http("POST", f"{path}/success", {"result": SECRET}, **admin)).status == 200
    assert (await person.ask("GET", path)).json["job"]["result"] == MASKED
    assert (await person.ask("GET", "/v1/groups/g/jobs?fields=result")).json["jobs"][0]["result"] == MASKED
    assert (await person.ask("GET", f"{path}?reveal=1")).json["job"]["result"] == SECRET
    assert [entry["act"] for entry in await entries(http, 2, Cookie=person.cookies)] == ["login", "reveal"]
