"""Many jobs in one call: finish, touch_many. Each item has its own outcome; an invalid one does not stop the others."""

from broker.core.timestamps import rfc3339
from broker.http.request.context import Call
from broker.http.responses import Response, json
from broker.models.reports import Finish, Finishes, Held, HeldJobs
from broker.models.results import Outcome, Outcomes


async def finish(call: Call) -> Response:
    """Mark many running jobs as succeeded or failed."""
    items = await call.items(Finishes, Finish)
    return json(Outcomes(await items.outcomes(call.store.completer.finish, _finished)))


async def touch_many(call: Call) -> Response:
    """Renew the leases of many deliveries."""
    items = await call.items(HeldJobs, Held)
    return json(Outcomes(await items.outcomes(call.store.completer.touch, _touched)))


def _finished(job_id: str, _: None) -> Outcome:
    return Outcome(id=job_id, ok=True)


def _touched(job_id: str, end_ms: int) -> Outcome:
    return Outcome(id=job_id, ok=True, expires_at=rfc3339(end_ms))
