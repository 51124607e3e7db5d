"""Bulks of a group as tests of the API begin and await them."""

import asyncio
from collections.abc import Sequence
from typing import Any

from broker.models.bulk import ENDED
from tests.api.client import Http, Reply

BULK = "/v1/groups/g/bulk"
JOBS = "/v1/groups/g/jobs"


async def until(http: Http, reply: Reply, *states: str) -> dict[str, Any]:
    """The bulk of a POST, once it is in one of these states."""
    assert reply.status == 202, reply
    bulk = reply.json["bulk"]
    async with asyncio.timeout(20):
        while bulk["state"] not in states:
            await asyncio.sleep(0.01)
            bulk = (await http("GET", f"/v1/bulk/{bulk['id']}")).json["bulk"]
    return bulk


async def ended(http: Http, reply: Reply) -> dict[str, Any]:
    """The bulk of a POST, once it has ended."""
    return await until(http, reply, *ENDED)


async def bulk(http: Http, action: str, **fields: Any) -> dict[str, Any]:
    """A bulk that has ended."""
    return await ended(http, await http("POST", BULK, {"action": action, **fields}))


async def jobs_of(http: Http, *statuses: str) -> list[dict[str, Any]]:
    """The jobs of the group in these statuses."""
    query = "&".join(f"status={status}" for status in statuses)
    return (await http("GET", f"{JOBS}?n=1000&{query}")).json["jobs"]


async def failed(http: Http, *jobs: dict[str, Any], reasons: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Jobs that failed."""
    taken = await http.running(*jobs)
    for i, job in enumerate(taken):
        body = {"reason": reasons[i]} if reasons else {}
        await http("POST", f"{JOBS}/{job['id']}/error", body)
    return taken


def payloads(jobs: list[dict[str, Any]]) -> list[str]:
    """Their payloads, sorted."""
    return sorted(job.get("payload", "") for job in jobs)
