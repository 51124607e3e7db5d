"""The verbs of batches: create, add, close, show, list, cancel, retry."""

import msgspec
from msgspec import UNSET

from broker.http.request.context import Call
from broker.http.request.new_jobs import check_plain, checked
from broker.http.request.query_params import BatchesQuery, MembersQuery, ShowQuery
from broker.http.responses import Response, document, fullness, json
from broker.models.batches import (
    BatchesWrapper,
    BatchWrapper,
    CallbackJob,
    MembersWrapper,
    NewBatch,
    NewBatchWrapper,
    NewMembers,
)
from broker.resp.marks import FLOWS
from broker.store.format.batches import CALLBACKS
from broker.store.format.job_json import listed

_MEMBERS = "batch.jobs[{}]"
_REPLAYED = (("Idempotency-Replayed", "true"),)


async def create_batch(call: Call) -> Response:
    """Create a batch with its first members, all or none."""
    key = call.idempotency_key()
    new = (await call.body(NewBatchWrapper)).batch
    await call.store.require_layout(FLOWS, "Batches")
    check_plain(call, new.jobs, _MEMBERS)
    new = msgspec.structs.replace(new, jobs=list(await checked(call, new.jobs, _MEMBERS)))
    for name in CALLBACKS:
        new = await _with_callback(call, new, name)
    batch, is_replayed = await call.store.batches.create(call.group, new, key, call.trace())
    return json(BatchWrapper(batch), 201, _REPLAYED if is_replayed else ())


async def list_batches(call: Call) -> Response:
    """List the batches of a group by their creation."""
    query = call.query(BatchesQuery)
    batches, cursor = await call.store.batches.list(call.group, query.n, query.cursor, query.order)
    return json(BatchesWrapper(batches, cursor or UNSET))


async def show_batch(call: Call) -> Response:
    """Show a batch. With `wait`, wait until it has ended."""
    wait_s = call.query(ShowQuery).wait
    return json(BatchWrapper(await call.context.waits.batch(call.group, call.batch, wait_s)))


async def list_members(call: Call) -> Response:
    """List the members of a batch by their creation."""
    query = call.query(MembersQuery)
    jobs, cursor = await call.store.batches.members(call.group, call.batch, query.n, query.cursor, query.status)
    return json(MembersWrapper(jobs, cursor or UNSET))


async def add_to_batch(call: Call) -> Response:
    """Add members to an open batch, all or none; or as a running member to a closed one."""
    key = call.idempotency_key()
    body = await call.body(NewMembers)
    check_plain(call, body.jobs)
    jobs = await checked(call, body.jobs)
    adding = call.store.batches.add(call.group, call.batch, jobs, body.member, body.lease, key, call.trace())
    added, is_replayed = await adding
    return document(listed(added.jobs), 201, _REPLAYED if is_replayed else fullness(added.full))


async def close_batch(call: Call) -> Response:
    """Close a batch: no more jobs are added, except by its running members."""
    return json(BatchWrapper(await call.store.batches.close(call.group, call.batch)))


async def cancel_batch(call: Call) -> Response:
    """Close a batch and have its unfinished members cancelled, step by step."""
    return json(BatchWrapper(await call.store.batches.cancel(call.group, call.batch)))


async def retry_batch(call: Call) -> Response:
    """Create a new batch that repeats the members that failed, once. Returns the new batch."""
    key = call.idempotency_key()
    batch, is_replayed = await call.store.batches.retry_batch(call.group, call.batch, call.grant.name, key)
    return json(BatchWrapper(batch), 201, _REPLAYED if is_replayed else ())


async def _with_callback(call: Call, new: NewBatch, name: str) -> NewBatch:
    """The batch with a callback that is checked like any new job."""
    job: CallbackJob | None = getattr(new, name)
    if job is None:
        return new
    if job.group_name:
        call.grant.check(job.group_name)
    check_plain(call, [job], f"batch.{name}")
    [whole] = await checked(call, [job], f"batch.{name}")
    return msgspec.structs.replace(new, **{name: whole})
