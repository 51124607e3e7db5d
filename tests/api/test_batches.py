"""Batches over HTTP: what is refused, and waiting for the end of one."""

import asyncio
from typing import Any

import pytest

from broker.core.settings import BrokerSettings
from broker.http.app import DISPATCHER
from broker.http.job_waits import JobWaits
from tests.api.client import Http
from tests.conftest import eventually
from tests.stores import Store

BATCHES = "/v1/groups/g/batches"


def waits_of(http: Http) -> JobWaits:
    """Who waits at the broker."""
    waits: JobWaits = http.runner.app[DISPATCHER].context.waits
    return waits


async def create(http: Http, **fields: Any) -> dict[str, Any]:
    """A new batch."""
    reply = await http("POST", BATCHES, {"batch": fields})
    assert reply.status == 201, reply
    return dict(reply.json["batch"])


@pytest.mark.parametrize(
    ("field", "batch"),
    [
        ("batch.jobs[0].image", {"jobs": [{"image": "a\nb"}]}),
        ("batch.on_failed.image", {"on_failed": {"image": "a\x00b"}}),
        ("batch.on_over.payload", {"on_over": {"image": "a", "payload": "x" * (1024 * 1024 + 1)}}),
        ("batch.jobs[1].image", {"jobs": [{"image": "a"}, {}]}),
        ("batch.jobs[0].after[0]", {"jobs": [{"image": "a", "after": ["0123456789abcdef"]}]}),
        ("batch.jobs[0].unique.until", {"jobs": [{"image": "a", "unique": {"key": "k", "until": "over", "for": 5}}]}),
        ("batch.opne", {"opne": True}),
        ("batch.end_within", {"end_within": 0}),
        ("batch.on_over.image", {"on_over": {"payload": "x"}}),
        ("batch.on_over.after", {"on_over": {"image": "x", "after": ["y"]}}),
        ("batch.on_failed.group_name", {"on_failed": {"image": "x", "group_name": "a b"}}),
        ("batch.jobs", {"jobs": [{"image": "a"}] * 1001}),
    ],
)
async def test_a_field_that_is_wrong_is_named(http: Http, field: str, batch: dict[str, Any]) -> None:
    """It is a 400 that names the field with its path, and no batch exists."""
    reply = await http("POST", BATCHES, {"batch": batch})
    assert (reply.status, reply.problem.code) == (400, "invalid"), reply
    assert field in (reply.problem.fields or reply.problem.message)
    assert (await http("GET", BATCHES)).json == {"batches": []}


@pytest.mark.parametrize("batch_id", ["0" * 16, "x"])
async def test_a_batch_that_is_not_there(http: Http, batch_id: str) -> None:
    """Each call about one is a 404."""
    for method, verb in (("GET", ""), ("GET", "/jobs"), ("POST", "/close"), ("POST", "/cancel"), ("POST", "/retry")):
        reply = await http(method, f"{BATCHES}/{batch_id}{verb}")
        assert (reply.status, reply.problem.message) == (404, "There is no such batch in this group.")


async def test_waiting_for_a_batch(http: Http, store: Store) -> None:
    """A wait ends with the batch, once its callbacks exist; one that takes too long shows it as it is."""
    batch = await create(http, jobs=[{"image": "i"}], on_over={"image": "done"})
    path = f"{BATCHES}/{batch['id']}"
    assert (await http("GET", f"{path}?wait=1")).json["batch"]["state"] == "running"
    waiting = asyncio.create_task(http("GET", f"{path}?wait=20"))
    [job] = (await http("GET", "/v1/jobs")).json["jobs"]
    await http("POST", f"/v1/groups/g/jobs/{job['id']}/success")
    await store.maintenance.settle(10)
    found = (await waiting).json["batch"]
    assert (found["state"], list(found["callbacks"])) == ("succeeded", ["on_over"])
    [callback] = (await http("GET", "/v1/jobs")).json["jobs"]
    counts = {"total": 1, "over": 1, "succeeded": 1, "failed": 0, "cancelled": 0}
    assert callback["batch"] == {"id": batch["id"], "callback": "on_over", "counts": counts}


async def test_a_client_that_is_gone(http: Http) -> None:
    """Trap G7: a client that hangs up while it waits for a batch leaves nothing behind."""
    batch = await create(http, jobs=[{"image": "i"}])
    waits, server = waits_of(http), http.runner.server
    assert server is not None
    before = len(server.connections)
    head = f"GET {BATCHES}/{batch['id']}?wait=30 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with http.line(head.encode()):
        await eventually(lambda: waits.n_batches == 1)
    await eventually(lambda: waits.n_batches == 0 and len(server.connections) == before)
    assert "titan_requests_in_progress 0" in (await http("GET", "/metrics")).text


async def test_a_wait_at_a_stop(http: Http) -> None:
    """When the broker stops, those who wait for a batch are answered with it as it is."""
    batch = await create(http, jobs=[{"image": "i"}])
    waits = waits_of(http)
    task = asyncio.create_task(http("GET", f"{BATCHES}/{batch['id']}?wait=30"))
    await eventually(lambda: waits.n_batches == 1)
    await http.runner.app.shutdown()
    async with asyncio.timeout(5):
        assert (await task).json["batch"]["state"] == "running"


async def test_a_batch_is_retried_once(http: Http, store: Store) -> None:
    """The second call is a 409 that names the new batch; with the Idempotency-Key of the first it gets that again."""
    batch = await create(http, jobs=[{"image": "i"}])
    path, key = f"{BATCHES}/{batch['id']}", {"Idempotency_Key": "k"}
    [job] = (await http("GET", "/v1/jobs")).json["jobs"]
    await http("POST", f"/v1/groups/g/jobs/{job['id']}/error")
    await store.maintenance.settle(10)
    assert (await http("GET", f"{path}?wait=20")).json["batch"]["state"] == "failed"
    first = await http("POST", f"{path}/retry", **key)
    again = await http("POST", f"{path}/retry", **key)
    assert (first.status, again.status, again.headers["Idempotency-Replayed"]) == (201, 201, "true")
    assert again.json == first.json
    refused = await http("POST", f"{path}/retry")
    assert (refused.status, refused.problem.code) == (409, "wrong_state")
    assert first.json["batch"]["id"] in refused.problem.message


async def test_a_closed_batch_takes_no_jobs(http: Http) -> None:
    """It is a 409, unless a running member adds them with its lease."""
    batch = await create(http, jobs=[{"image": "i"}])
    path, body = f"{BATCHES}/{batch['id']}/jobs", {"jobs": [{"image": "i"}]}
    assert (await http("POST", path, body)).problem.code == "wrong_state"
    [job] = (await http("GET", "/v1/jobs")).json["jobs"]
    added = await http("POST", path, {**body, "member": job["id"], "lease": job["lease"]})
    assert (added.status, added.json["jobs"][0]["batch"]) == (201, {"id": batch["id"]})
    assert (await http("POST", path, {**body, "member": job["id"], "lease": "x-1"})).problem.code == "lease_lost"


async def test_a_repeated_call_is_marked(http: Http) -> None:
    """With an Idempotency-Key the second call gets the first batch, and another body is refused."""
    body, key = {"batch": {"jobs": [{"image": "i"}]}}, {"Idempotency_Key": "k"}
    first = await http("POST", BATCHES, body, **key)
    second = await http("POST", BATCHES, body, **key)
    assert (second.status, second.headers["Idempotency-Replayed"]) == (201, "true")
    assert first.json["batch"]["id"] == second.json["batch"]["id"]
    assert (await http("POST", BATCHES, {"batch": {}}, **key)).status == 422


async def test_a_payload_has_its_limit(http: Http, settings: BrokerSettings) -> None:
    """Also that of a callback."""
    payload = "x" * (settings.max_payload_bytes + 1)
    reply = await http("POST", BATCHES, {"batch": {"on_over": {"image": "i", "payload": payload}}})
    assert reply.status in {400, 413}
