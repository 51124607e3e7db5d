"""Autoscaling: show_scale and show_group_scale, as the scaler of KEDA reads them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from broker.auth.grants import Access
from broker.auth.token_file import digest
from broker.core.errors import StoreUnavailable
from broker.store.format.scale import Goal, Load, scale_of
from tests.api.client import Http
from tests.stores import Store


class Keda:
    """A stand-in of KEDA's metrics-api scaler: it wants a 200, and a number at a path of the JSON."""

    def __init__(self, http: Http, fallback: int) -> None:
        self._http = http
        self._fallback = fallback
        self.is_failing = False

    async def replicas(self, path: str, value_location: str = "workers", target: float = 1) -> int:
        """How many replicas it would ask for; those of `fallback` after an answer that it cannot use."""
        reply = await self._http("GET", path)
        value: Any = json.loads(reply.text)
        for name in value_location.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        self.is_failing = reply.status != 200 or not isinstance(value, int | float) or isinstance(value, bool)
        return self._fallback if self.is_failing else math.ceil(value / target)


async def test_keda_reads_the_workers_of_a_group(http: Http, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty and unknown: 0. Then 1,000 jobs of 2 s: 5. Paused: what runs. The store away: the fallback holds."""
    keda, path = Keda(http, fallback=3), "/v1/groups/g/scale?per_worker=8&target_s=60"
    assert await keda.replicas(path) == 0  # unknown
    [job] = await http.running({})
    await http("POST", f"/v1/groups/g/jobs/{job['id']}/success")
    assert await keda.replicas(path) == 0  # empty
    counts = store.counts._tally.of("g")
    counts.counts, counts.runs = [0] * 8, None
    for _ in range(20):
        counts.run(b"- 1 1000 succeeded 3000", 1)  # it ran 2 s
    await store.counts.flush()
    await http.enqueue(*({} for _ in range(1000)))
    assert await keda.replicas(path) == 5
    await store.counts.flush()  # with the jobs that have just come, too
    assert await keda.replicas(path) == 5
    answer = (await http("GET", path)).json
    assert (answer["queued"], answer["running"], answer["due_soon"]) == (1000, 0, 0)
    assert answer["run_s"] == pytest.approx(2.0)
    assert "1,000 jobs are queued" in answer["because"]
    await http("GET", "/v1/jobs?group=g&n=9")
    await http("PATCH", "/v1/groups/g", {"group": {"paused": True}})
    assert await keda.replicas(path) == 2
    assert not keda.is_failing
    assert "paused" in (await http("GET", path)).json["because"]

    async def away(*_: object) -> None:
        raise StoreUnavailable("The store is away.")

    monkeypatch.setattr(store.scaling._partitions, "run", away)
    assert await keda.replicas(path) == 3
    assert keda.is_failing


async def test_scale_of_several_groups(http: Http) -> None:
    """One pool of workers serves them: the numbers are sums, and a group that does not exist adds nothing."""
    await http.enqueue({}, {}, group="a")
    await http.enqueue({}, {"delay": 20}, {"delay": 90}, group="b")
    answer = (await http("GET", "/v1/scale?group=a&group=b&group=none&target_s=1&per_worker=2")).json
    assert (answer["queued"], answer["due_soon"], answer["workers"]) == (3, 1, 2)
    one = (await http("GET", "/v1/groups/b/scale?ahead_s=100&target_s=1&per_worker=1&max=2")).json
    assert (one["due_soon"], one["workers"]) == (2, 2)
    assert one["because"].endswith("The most is 2.")
    for query, field in (("", "group"), ("group=a&min=3&max=2", "min"), ("group=a&per_worker=0", "per_worker")):
        reply = await http("GET", f"/v1/scale?{query}")
        assert (reply.status, reply.problem.fields) == (400, field)


def test_the_formula_of_scale() -> None:
    """Arrivals and backlog; never below what runs, nor above max_concurrency; 0 only without any job."""
    goal = Goal()
    for load, workers in (
        (Load(), 0),
        (Load(arrival=50, run_s=9), 0),  # all of them are done
        (Load(queued=1000, run_s=2), 5),
        (Load(queued=1000, run_s=2, arrival=10 / 3), 5),
        (Load(queued=1, run_s=0.001), 1),
        (Load(due_soon=1, run_s=0.001), 1),
        (Load(running=17), 3),
        (Load(queued=1000, run_s=60, limit=80), 10),
        (Load(queued=1000, running=90, run_s=60, limit=80), 12),
        (Load(queued=1000, run_s=60, is_paused=True), 0),
        (Load(queued=10**6, run_s=60), 1000),
    ):
        assert scale_of([load], goal).workers == workers, load
    assert scale_of([Load()], Goal(least=2)).workers == 2
    capped = scale_of([Load(queued=1000, run_s=60, limit=80)], goal)
    assert "max_concurrency" in capped.because


class TestWithTokens:
    """A broker with a file of tokens."""

    @pytest.fixture
    def access(self, tmp_path: Path) -> Access:
        """A token for two groups."""
        path = tmp_path / "tokens"
        path.write_text(f"{digest('mail').hex()} read,produce mail,post\n")
        return Access(path)

    async def test_scale_of_a_token_for_some_groups(self, http: Http) -> None:
        """It gets the numbers of its own groups, also if it names none; another group's are refused."""
        token = {"Authorization": "Bearer mail"}
        await http("POST", "/v1/groups/mail/jobs", {"jobs": [{"image": "i"}]}, **token)
        assert (await http("GET", "/v1/scale", **token)).json["queued"] == 1
        for path in ("/v1/scale?group=mail&group=x", "/v1/groups/x/scale"):
            assert (await http("GET", path, **token)).status == 403
