"""The verbs of bulks: begin_bulk, list_bulks, show_bulk, stop_bulk."""

import msgspec
from msgspec import UNSET

from broker.core.errors import Invalid, TooMany
from broker.core.words import counted
from broker.http.request.bulk_check import check
from broker.http.request.context import Call
from broker.http.request.query_params import BulksQuery
from broker.http.responses import Response, json
from broker.models.bulk import Bulk, BulksWrapper, BulkWrapper, Filters, NewBulk
from broker.models.groups import Counts, Group
from broker.models.jobs import BRIEF_LENGTH
from broker.reaper.bulk_work import statuses_of
from broker.store.format.bulk_record import BulkSpec, KeptBulk, shown_bulk

_REPLAYED = (("Idempotency-Replayed", "true"),)


async def begin_bulk(call: Call) -> Response:
    """Retry, cancel, delete or promote all jobs of a group that match. The broker works on it after the answer."""
    key = call.idempotency_key()
    given = await call.body(NewBulk)
    check(given, call.settings.max_payload_bytes)
    shown = await call.store.groups.show(call.group)
    about = _about(given, shown.counts)
    if given.at_most is not None and not given.dry_run and not _has_filters(given) and about > given.at_most:
        raise TooMany(f"{counted(about, 'job')} match, more than at_most, {given.at_most:,}. Nothing was done.")
    spec = BulkSpec(group=call.group, given=given, by=call.grant.name, about=about, image=_image(given, shown))
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
    reachable = [_brief(_answer(kept)) for kept in bulks if call.grant.reaches(kept.spec.group)]
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


def _brief(shown: Bulk) -> Bulk:
    """A bulk in a list: with the beginning of the payload that it gives to new jobs."""
    if not shown.set or not shown.set.payload:
        return shown
    cut = msgspec.structs.replace(shown.set, payload=shown.set.payload[:BRIEF_LENGTH])
    return msgspec.structs.replace(shown, set=cut)


async def _found(call: Call) -> KeptBulk:
    kept = await call.store.bulks.show(call.bulk)
    call.grant.check(kept.spec.group)
    return kept


def _image(given: NewBulk, group: Group) -> str:
    """The image of the group, if new jobs are to have it. Raises Invalid if it has none."""
    if given.set is None or given.set.image is UNSET or given.set.image:
        return ""
    if not group.image:
        raise Invalid("set.image is missing, and the group has no image.", fields="set.image")
    return group.image


def _about(given: NewBulk, counts: Counts) -> int:
    if given.ids is not None:
        return len(set(given.ids))
    return sum(getattr(counts, status) for status in statuses_of(given))


def _has_filters(given: NewBulk) -> bool:
    names = set(Filters.__struct_fields__) - {"status"}
    return any(getattr(given, name) is not None for name in names)


def _detail(given: NewBulk) -> str:
    """What the audit says: `retry of failed, with another timeout`, `dry run of cancel of queued`."""
    jobs = ", ".join(statuses_of(given)) if given.ids is None else counted(len(set(given.ids)), "job")
    changed = ", ".join(msgspec.to_builtins(given.set)) if given.set is not None else ""
    return f"{'dry run of ' * given.dry_run}{given.action} of {jobs}{', with another ' * bool(changed)}{changed}"
