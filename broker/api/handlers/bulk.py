"""Many jobs in one call: finish, touch_many. One outcome an item; a bad item does not stop the others."""

from broker.api.answers import Answer, json
from broker.api.call import Call
from broker.models.outcomes import Outcome, Outcomes
from broker.models.reports import Finish, Finishes, Held, HeldJobs
from broker.times import rfc3339


async def finish(call: Call) -> Answer:
    """Mark many running jobs as succeeded or failed."""
    items = await call.items(Finishes, Finish)
    return json(Outcomes(await items.outcomes(call.store.finish, _finished)))


async def touch_many(call: Call) -> Answer:
    """Give many deliveries another lease."""
    items = await call.items(HeldJobs, Held)
    return json(Outcomes(await items.outcomes(call.store.touch, _touched)))


def _finished(job_id: str, _: None) -> Outcome:
    return Outcome(id=job_id, ok=True)


def _touched(job_id: str, end_ms: int) -> Outcome:
    return Outcome(id=job_id, ok=True, expires_at=rfc3339(end_ms))
