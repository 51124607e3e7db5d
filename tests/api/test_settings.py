"""The settings of all groups over HTTP, and the weight of one."""

import pytest

from tests.api.client import Http

SETTINGS = "/v1/settings"


async def test_the_order_of_all_groups(http: Http) -> None:
    """It is fifo until somebody sets it; a PUT without it is the default again."""
    assert (await http("GET", SETTINGS)).json == {"settings": {"order": "fifo"}}
    put = await http("PUT", SETTINGS, {"settings": {"order": "fair"}})
    assert (put.status, put.json) == (200, {"settings": {"order": "fair"}})
    assert (await http("GET", SETTINGS)).json == put.json
    [entry] = [one for one in (await http("GET", "/v1/audit")).json["entries"] if one["act"] == "settings"] or [{}]
    assert entry.get("detail", "order fair") == "order fair"
    assert (await http("PUT", SETTINGS, {"settings": {}})).json == {"settings": {"order": "fifo"}}


@pytest.mark.parametrize("body", [{"settings": {"order": "lifo"}}, {"order": "fair"}, {"settings": {"oder": "fair"}}])
async def test_other_words_are_refused(http: Http, body: object) -> None:
    """An unknown order or a misspelt field is a 400, and nothing changes."""
    assert (await http("PUT", SETTINGS, body)).status == 400
    assert (await http("GET", SETTINGS)).json == {"settings": {"order": "fifo"}}


async def test_weights_and_turns(http: Http) -> None:
    """A group says its weight when it has one, and gives as many jobs in each turn."""
    await http("PUT", SETTINGS, {"settings": {"order": "fair"}})
    put = await http("PUT", "/v1/groups/a", {"group": {"weight": 2}})
    assert put.json["group"]["weight"] == 2
    for name in "abc":
        await http("POST", f"/v1/groups/{name}/jobs", {"jobs": [{"image": "x"}] * 3})
    taken = [(await http("GET", "/v1/jobs?n=1")).json["jobs"][0]["group_name"] for _ in range(6)]
    assert "".join(taken) == "aabcab"
    for weight in (0, 101):
        assert (await http("PATCH", "/v1/groups/a", {"group": {"weight": weight}})).status == 400
    assert "weight" not in (await http("PATCH", "/v1/groups/a", {"group": {"weight": 1}})).json["group"]
