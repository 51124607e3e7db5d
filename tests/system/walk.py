"""One valid request for every row of the route table, to a broker that runs."""

import asyncio
import json
import time
from typing import Any, NamedTuple

import aiohttp

from broker.http.routes import ROUTES, Route

LOCAL = {"healthz", "openapi", "metrics", "stream_check", "listen"}
"""These ask nothing of the store, or answer what they can without it. What is wrong with `listen` is said first."""
READS = {"list_jobs", "show", "find", "read_log", "list_groups", "show_group", "show_overview", "show_stats"}
READS |= {"list_workers", "show_worker", "list_brokers", "history", "why", "why_group", "failures", "show_group_stats"}
READS |= {"watch", "list_audit", "list_bulks", "show_bulk", "doctor", "await_jobs", "flow", "inputs", "show_settings"}
READS |= {"list_batches", "show_batch", "list_members", "list_unique_keys", "show_unique_key", "list_keys"}
READS |= {"list_schedules", "show_schedule", "next_times", "list_fires", "preview_schedule", "resume_schedule"}
READS |= {"listen", "show_scale", "show_group_scale"}
NEW = {"enqueue", "retry", "create_group", "configure", "adjust", "log", "begin_bulk", "wait"}
NEW |= {"create_batch", "add_to_batch", "retry_batch"}
NEW |= {"run_schedule", "backfill_schedule"}
"""These may make the store larger, and be refused when it is full."""

_LEASE = "0" * 12
_BODIES: dict[str, Any] = {
    "enqueue": {"jobs": [{"image": "x"}]},
    "finish": {"jobs": [{"group_name": "g", "id": "{id}", "status": "succeeded", "lease": _LEASE}]},
    "await_jobs": {"jobs": [{"group_name": "g", "id": "{id}"}]},
    "touch_many": {"jobs": [{"group_name": "g", "id": "{id}", "lease": _LEASE}]},
    "create_group": {"group": {"name": "g"}},
    "configure": {"group": {}},
    "adjust": {"group": {}},
    "begin_bulk": {"action": "promote", "dry_run": True},
    "create_batch": {"batch": {"jobs": [{"image": "x"}]}},
    "add_to_batch": {"jobs": [{"image": "x"}]},
    "put_schedule": {"schedule": {"every": 3600, "job": {"image": "x"}}},
    "preview_schedule": {"schedule": {"every": 3600, "job": {"image": "x"}}},
    "backfill_schedule": {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
    "announce": {"name": "w", "host": "h"},
    "order": {"order": "drain"},
    "set_settings": {"settings": {}},
    "wait": {"after": ["0000000000000000"]},
    "log": "hello\n",
}


class Answer(NamedTuple):
    """What a route answered, and how long it took, in s."""

    verb: str
    status: int
    body: Any
    retry_after: str | None
    took_s: float


async def walk(url: str, job_id: str, *, without: set[str] = frozenset()) -> list[Answer]:  # type: ignore[assignment]
    """Ask every route at once; the answers."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        rows = [route for route in ROUTES if route.verb not in without]
        return list(await asyncio.gather(*(_ask(session, url, route, job_id) for route in rows)))


async def _ask(session: aiohttp.ClientSession, url: str, route: Route, job_id: str) -> Answer:
    queries = {"watch": "?view=group:none", "listen": "?kind=none"}  # these are refused: others do not end
    queries["show_scale"] = "?group=g"
    query = queries.get(route.verb, "")
    path = route.path.replace("{group_name}", "g").replace("{worker}", "w")
    path = (
        path.replace("{id}", job_id)
        .replace("{batch}", job_id)
        .replace("{bulk}", job_id)
        .replace("{unique_key}", "k")
        .replace("{schedule}", "s")
        + query
    )
    body = _BODIES.get(route.verb, {} if route.takes else None)
    text = body if isinstance(body, str) else json.dumps(body).replace("{id}", job_id)
    kind = "text/plain" if isinstance(body, str) else "application/json"
    headers = {} if body is None else {"Content-Type": kind}
    began = time.monotonic()
    async with session.request(route.method, url + path, data=None if body is None else text, headers=headers) as told:
        content = await told.read()
        found = json.loads(content) if told.content_type == "application/json" and content else content
        return Answer(route.verb, told.status, found, told.headers.get("Retry-After"), time.monotonic() - began)
