"""show_stats, show_group_stats: the statistics over HTTP."""

from pathlib import Path

import pytest

from broker.auth.grants import Access
from broker.auth.token_file import digest
from tests.api.client import Http
from tests.stores import Store


async def test_group_stats(http: Http, store: Store) -> None:
    """An answer has 60 minutes, the oldest first, and the times of jobs, without a wrapper."""
    for job in await http.running({}, {}):
        await http("POST", f"/v1/groups/g/jobs/{job['id']}/success")
    await http.enqueue()
    await store.counts.flush()
    stats = (await http("GET", "/v1/groups/g/stats")).json
    assert stats.keys() == {"window", "slots", "wait", "run", "sampled"}
    assert len(stats["slots"]) == 60
    assert {key: stats["slots"][-1][key] for key in ("in", "out", "succeeded", "failed")} == {
        "in": 3, "out": 2, "succeeded": 2, "failed": 0,
    }  # fmt: skip
    assert [slot["at"] for slot in stats["slots"]] == sorted(slot["at"] for slot in stats["slots"])
    assert stats["run"].keys() == {"n", "p50", "p95", "p99"}
    assert (stats["run"]["n"], stats["wait"]["n"]) == (2, 2)


async def test_stats_of_all_groups(http: Http, store: Store) -> None:
    """The day has 48 half hours; without a finished job there are no percentiles."""
    await http.enqueue(group="a")
    await http.enqueue(group="b")
    await store.counts.flush()
    stats = (await http("GET", "/v1/stats?window=24h")).json
    assert len(stats["slots"]) == 48
    assert stats["slots"][-1]["in"] == 2
    assert stats["run"] == {"n": 0}
    for query, n in (("group=a", 1), ("group=a&group=none", 1), ("group=none", 0)):
        some = (await http("GET", f"/v1/stats?{query}")).json
        assert sum(slot["in"] for slot in some["slots"]) == n


async def test_stats_with_a_bad_window(http: Http) -> None:
    """A window that does not exist is a 400 that names the parameter."""
    for path in ("/v1/stats", "/v1/groups/g/stats"):
        reply = await http("GET", f"{path}?window=2h")
        assert (reply.status, reply.problem.fields) == (400, "window")


async def test_stats_of_an_unknown_group(http: Http) -> None:
    """A group that does not exist is a 404."""
    assert (await http("GET", "/v1/groups/none/stats")).status == 404


class TestWithTokens:
    """A broker with a file of tokens."""

    @pytest.fixture
    def access(self, tmp_path: Path) -> Access:
        """A token for all groups, one for two and one for a pattern."""
        path = tmp_path / "tokens"
        path.write_text(
            f"{digest('ops').hex()} read,produce *\n{digest('mail').hex()} read mail,post\n"
            f"{digest('some').hex()} read po*\n"
        )
        return Access(path)

    async def test_stats_of_a_token_for_some_groups(self, http: Http, store: Store) -> None:
        """It gets the sum of its own groups; another group's are refused."""
        for group in ("mail", "post", "secret"):
            await http("POST", f"/v1/groups/{group}/jobs", {"jobs": [{"image": "i"}]}, Authorization="Bearer ops")
        await store.counts.flush()
        own = await http("GET", "/v1/stats", Authorization="Bearer mail")
        every = await http("GET", "/v1/stats", Authorization="Bearer ops")
        assert [sum(slot["in"] for slot in reply.json["slots"]) for reply in (own, every)] == [2, 3]
        assert (await http("GET", "/v1/groups/secret/stats", Authorization="Bearer mail")).status == 403

    async def test_stats_of_a_token_for_a_pattern(self, http: Http, store: Store) -> None:
        """It says which groups it asks for: those within the pattern are counted, others are refused."""
        for group in ("mail", "post", "posters"):
            await http("POST", f"/v1/groups/{group}/jobs", {"jobs": [{"image": "i"}]}, Authorization="Bearer ops")
        await store.counts.flush()
        own = await http("GET", "/v1/stats?group=post&group=posters", Authorization="Bearer some")
        assert sum(slot["in"] for slot in own.json["slots"]) == 2
        for query, message in (
            ("", "Say which groups with ?group=: the token is for po*."),
            ("?group=mail", "not for"),
        ):
            refused = await http("GET", f"/v1/stats{query}", Authorization="Bearer some")
            assert refused.status == 403
            assert message in refused.problem.message
