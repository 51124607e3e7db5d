"""The audit over HTTP: each act has an entry with its actor, address, ids and outcome."""

import asyncio
import logging
from typing import Any

import pytest

from broker.core.errors import StoreUnavailable
from broker.http import audit
from broker.http.audit import Audit, line_of, merged
from broker.store.audit import Act
from tests.api.client import NO_JOB, Http
from tests.conftest import eventually
from tests.stores import Store

JOBS = "/v1/groups/g/jobs"


async def entries(http: Http, n: int, **headers: str) -> list[dict[str, Any]]:
    """The oldest entries, once there are so many."""
    async with asyncio.timeout(10):
        while len(found := (await http("GET", "/v1/audit", **headers)).json["entries"]) < n:
            await asyncio.sleep(0.01)
    return found[::-1]


def fields(entry: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(entry.get(name) for name in ("act", "group", "ids", "n", "outcome"))


async def test_audit_of_each_act(http: Http) -> None:
    """Each act is noted: cancel, retry, delete, promote, of batches, groups and workers; and a refusal."""
    first, later = await http.enqueue({}, {"delay": 60})
    await http("POST", "/v1/workers", {"name": "w1", "host": "h"})
    made = await http("POST", "/v1/groups/g/batches", {"batch": {"open": True}})
    batch = f"/v1/groups/g/batches/{made.json['batch']['id']}"
    calls: list[tuple[str, str, Any, tuple[Any, ...]]] = [
        ("POST", f"{JOBS}/{first['id']}/cancel", None, ("cancel", "g", [first["id"]], 1, "ok")),
        ("POST", f"{JOBS}/{first['id']}/retry", None, ("retry", "g", [first["id"]], 1, "ok")),
        ("POST", f"{JOBS}/{first['id']}/retry", None, ("retry", "g", [first["id"]], 1, "wrong_state")),
        ("DELETE", f"{JOBS}/{first['id']}", None, ("delete", "g", [first["id"]], 1, "ok")),
        ("POST", f"{JOBS}/{later['id']}/promote", None, ("promote", "g", [later["id"]], 1, "ok")),
        ("PUT", "/v1/groups/h", {"group": {}}, ("configure", "h", None, 1, "ok")),
        ("POST", "/v1/groups", {"group": {"name": "i"}}, ("configure", "i", None, 1, "ok")),
        ("PATCH", "/v1/groups/g", {"group": {"paused": True}}, ("configure", "g", None, 1, "ok")),
        ("DELETE", "/v1/groups/h", None, ("delete_group", "h", None, 1, "ok")),
        ("DELETE", "/v1/groups/g", None, ("delete_group", "g", None, 1, "wrong_state")),
        ("PUT", "/v1/settings", {"settings": {"order": "fair"}}, ("settings", None, None, 1, "ok")),
        ("POST", "/v1/workers/w1/order", {"order": "quiet"}, ("order", None, ["w1"], 1, "ok")),
        ("POST", f"{batch}/cancel", None, ("cancel_batch", "g", [batch[-16:]], 1, "ok")),
        ("POST", f"{batch}/retry", None, ("retry_batch", "g", [batch[-16:]], 1, "wrong_state")),
        ("POST", f"{JOBS}/{NO_JOB}/cancel", None, ("cancel", "g", [NO_JOB], 1, "not_found")),
    ]
    for number, (method, path, body, expected) in enumerate(calls, 1):
        await http(method, path, body)
        found = await entries(http, number)
        assert fields(found[-1]) == expected
        assert (found[-1]["address"], "by" in found[-1]) == ("127.0.0.1", False)


async def test_audit_says_what_was_configured(http: Http) -> None:
    """The settings that were given stand there with their values; those that may be secret without."""
    changes = {"paused": True, "note": "the mailbox is full", "image": None, "env_vars": {"KEY": "s3cret"}}
    await http("PATCH", "/v1/groups/g", {"group": changes})
    await http("PUT", "/v1/groups/g", {"group": {"max_concurrency": 3, "retention": {"failed": 60}}})
    first, later = await entries(http, 2)
    assert first["detail"] == "image default, env_vars, paused true, note the mailbox is full"
    assert later["detail"] == "max_concurrency 3, retention"


async def test_mask_is_no_value(http: Http) -> None:
    """What a page shows in the place of a secret is not stored in its place."""
    await http("PUT", "/v1/groups/g", {"group": {"env_vars": {"KEY": "s3cret"}}})
    for method in ("PUT", "PATCH"):
        reply = await http(method, "/v1/groups/g", {"group": {"env_vars": {"KEY": "••••"}}})
        assert (reply.status, reply.problem.fields) == (400, "group.env_vars")
    assert (await http("GET", "/v1/groups/g")).json["group"]["env_vars"] == {"KEY": "s3cret"}


async def test_audit_has_nothing_else(http: Http) -> None:
    """Reading, enqueuing and the verbs of consumers are not noted."""
    [job] = await http.running()
    await http("GET", f"{JOBS}/{job['id']}")
    await http("POST", f"{JOBS}/{job['id']}/success")
    await http("POST", f"{JOBS}/{job['id']}/retry")
    assert [entry["act"] for entry in await entries(http, 1)] == ["retry"]


async def test_audit_of_the_same_act_at_once(http: Http) -> None:
    """A program that cancels many jobs has one entry with their number and 20 ids."""
    jobs = await http.enqueue(*[{}] * 30)
    cancels = "".join(f"POST {JOBS}/{job['id']}/cancel HTTP/1.1\r\nHost: localhost\r\n\r\n" for job in jobs).encode()
    async with http.line(cancels) as (reader, _):
        for _job in jobs:
            await reader.readuntil(b'"cancelled"')
    found: list[dict[str, Any]] = []
    while sum(entry["n"] for entry in found) < 30:
        found = await entries(http, len(found) + 1)
    assert {job_id for entry in found for job_id in entry["ids"]} <= {job["id"] for job in jobs}
    assert all(len(entry["ids"]) == min(20, entry["n"]) for entry in found)


async def test_audit_is_logged(http: Http, caplog: pytest.LogCaptureFixture) -> None:
    """Each entry is a line of the log."""
    caplog.set_level(logging.INFO)
    [job] = await http.enqueue()
    await http("POST", f"{JOBS}/{job['id']}/cancel")
    await entries(http, 1)
    assert f"cancel address=127.0.0.1 group=g ids={job['id']} n=1 outcome=ok" in caplog.messages


def test_audit_line_of_hostile_text() -> None:
    """A line of the log stays one line."""
    assert line_of(Act("reveal", "a", detail="x\ny\x1b[31m")) == "reveal by=a n=1 outcome=ok detail='x\\ny\\x1b[31m'"


def test_audit_merges_what_differs_in_ids() -> None:
    """Acts of another actor, address, group, outcome or detail stay apart; the order is that of the first ones."""
    acts = [Act("cancel", "ann", "::1", "g", (str(i),), 1, "ok", "") for i in range(3)]
    others = [acts[0]._replace(**{name: "other"}) for name in ("act", "by", "address", "group", "outcome", "detail")]
    found = merged([acts[0], *others, *acts[1:]])
    assert found == [acts[0]._replace(ids=("0", "1", "2"), n=3), *others]


class Away:
    """A store that is away for some calls."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.kept: list[Act] = []
        self.batches: list[tuple[str, int]] = []

    async def note(self, batch: str, acts: list[Act], repeats: int) -> None:
        if self.times:
            self.times -= 1
            raise StoreUnavailable
        self.batches.append((batch, repeats))
        self.kept += acts


async def test_audit_waits_for_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is away entries wait, in order; a stop sends what is left."""
    monkeypatch.setattr(audit, "AFTER_FAULT_S", 0.01)
    trail = Away(2)
    kept = Audit(trail)  # type: ignore[arg-type]
    kept.note(Act("first"))
    await eventually(lambda: trail.times == 0)
    kept.note(Act("second"))
    await kept.close()
    assert [act.act for act in trail.kept] == ["first", "second"]
    assert [repeats for _, repeats in trail.batches] == [2, 0]


async def test_audit_drops_the_oldest(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """While the store is away for long the oldest entries are dropped, and the log says how many."""
    monkeypatch.setattr(audit, "MOST_WAITING", 3)
    trail = Away(1)
    kept = Audit(trail)  # type: ignore[arg-type]
    for number in range(5):
        kept.note(Act(str(number)))
    await kept.close()
    assert trail.times == 0
    await kept.close()
    assert [act.act for act in trail.kept] == ["2", "3", "4"]
    assert any("2 acts dropped" in message for message in caplog.messages)


async def test_audit_survives_a_stop(http: Http, store: Store) -> None:
    """What was done just before the broker stops is noted."""
    [job] = await http.enqueue()
    await http("POST", f"{JOBS}/{job['id']}/cancel")
    await http.runner.cleanup()
    assert [entry.act for entry in (await store.audit.list(10))[0]] == ["cancel"]
