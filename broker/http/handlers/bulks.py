"""The verbs of bulks: begin_bulk, list_bulks, show_bulk, stop_bulk."""

import msgspec
from msgspec import UNSET

from broker.core.errors import Invalid, TooMany
from broker.core.words import counted
from broker.http.request.context import Call
from broker.http.request.decoding import moment
from broker.http.request.query_params import BulksQuery
from broker.http.responses import Response, json
from broker.models.bulk import TAKES, Bulk, BulksWrapper, BulkWrapper, Filters, NewBulk
from broker.models.groups import Counts
from broker.reaper.bulk_work import statuses_of
from broker.store.format.bulk_record import BulkSpec, KeptBulk, shown_bulk

_REPLAYED = (("Idempotency-Replayed", "true"),)


async def begin_bulk(call: Call) -> Response:
    """Retry, cancel, delete or promote all jobs of a group that match. The broker works on it after the answer."""
    key = call.idempotency_key()
    given = await call.body(NewBulk)
    _check(given)
    counts = (await call.store.groups.show(call.group)).counts
    about = _about(given, counts)
    if given.at_most is not None and not given.dry_run and not _has_filters(given) and about > given.at_most:
        raise TooMany(f"{counted(about, 'job')} match, more than at_most, {given.at_most:,}. Nothing was done.")
    spec = BulkSpec(group=call.group, given=given, by=call.grant.name, about=about)
    runner = call.context.bulks
    begun = await call.store.bulks.begin(spec, runner.owner, key)
    if not begun.is_replayed:
        runner.start(begun.bulk)
    call.acted_on = call.acted_on._replace(ids=(begun.bulk.id,), detail=_detail(given))
    return json(BulkWrapper(_answer(begun.bulk)), 202, _REPLAYED if begun.is_replayed else ())


async def list_bulks(call: Call) -> Response:
    """List the bulks of the last 7 days, the newest first."""
    query = call.query(BulksQuery)
    bulks, cursor = await call.store.bulks.list(query.n, query.cursor)
    reachable = [_answer(kept) for kept in bulks if call.grant.reaches(kept.spec.group)]
    return json(BulksWrapper(reachable, cursor or UNSET))


async def show_bulk(call: Call) -> Response:
    """Show one bulk and how far it is."""
    return json(BulkWrapper(_answer(await _found(call))))


async def stop_bulk(call: Call) -> Response:
    """Stop a bulk. It ends within about a second; the jobs that it was done to stay as they are."""
    if call.grant.is_limited:
        await _found(call)
    stopped = await call.store.bulks.stop(call.bulk, call.grant.name)
    call.acted_on = call.acted_on._replace(group=stopped.spec.group, detail="stop")
    return json(BulkWrapper(_answer(stopped)))


def _answer(kept: KeptBulk) -> Bulk:
    """A bulk without the fields that were not given."""
    shown = shown_bulk(kept)
    absent = {name: UNSET for name in shown.__struct_fields__ if getattr(shown, name) is None}
    return msgspec.structs.replace(shown, **absent)


async def _found(call: Call) -> KeptBulk:
    kept = await call.store.bulks.show(call.bulk)
    call.grant.check(kept.spec.group)
    return kept


def _check(given: NewBulk) -> None:
    """Raise Invalid for a status that the action does not take, an empty filter, and a text that is no time."""
    wrong = [status for status in given.status if status not in TAKES[given.action]]
    if wrong:
        takes = ", ".join(TAKES[given.action])
        raise Invalid(f"{given.action} takes jobs that are {takes}, not {wrong[0]}.", fields="status")
    empty = [name for name in ("image", "reason", "text") if getattr(given, name) == ""]
    if empty:
        raise Invalid(f"{empty[0]} must not be empty: leave it out for all jobs.", fields=empty[0])
    for name in ("created_before", "created_after"):
        moment(getattr(given, name), name)
    first, last = (moment(time, "") for time in (given.created_after, given.created_before))
    if first is not None and last is not None and last <= first:
        raise Invalid("created_before must be later than created_after.", fields="created_before")


def _about(given: NewBulk, counts: Counts) -> int:
    return sum(getattr(counts, status) for status in statuses_of(given.action, given.status))


def _has_filters(given: NewBulk) -> bool:
    names = set(Filters.__struct_fields__) - {"status"}
    return any(getattr(given, name) is not None for name in names)


def _detail(given: NewBulk) -> str:
    """What the audit says: `retry of failed`, `dry run of cancel of queued`."""
    statuses = ", ".join(statuses_of(given.action, given.status))
    return f"{'dry run of ' if given.dry_run else ''}{given.action} of {statuses}"
