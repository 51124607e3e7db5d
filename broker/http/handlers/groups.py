"""The verbs of groups: list_groups, show_group, create_group, configure, adjust, delete_group."""

from msgspec import UNSET

from broker.core.errors import Invalid
from broker.http.request.context import Call
from broker.http.request.query_params import GroupsQuery
from broker.http.responses import Response, json, nothing
from broker.http.ui.masking import MASK
from broker.models.groups import (
    GroupChanges,
    GroupPatch,
    GroupPost,
    GroupPut,
    GroupSettings,
    GroupsWrapper,
    GroupWrapper,
    JobRate,
)
from broker.resp.marks import DEAD_LETTERS, DEADLINES, FAIR, GROUP_BUDGETS, POLICIES
from broker.store.format.rates import rate_text
from broker.store.groups import TaggedGroup


async def list_groups(call: Call) -> Response:
    """List the groups with their settings and counts."""
    query = call.query(GroupsQuery)
    groups, cursor = await call.store.groups.list(query.n, query.cursor)
    reachable = [group for group in groups if call.grant.reaches(group.name)]
    return json(GroupsWrapper(reachable, cursor or UNSET))


async def show_group(call: Call) -> Response:
    """Show a group's settings and counts."""
    return _tagged(await call.store.groups.show_tagged(call.group))


async def create_group(call: Call) -> Response:
    """Create a group with these settings, or replace all settings of a group that exists."""
    settings = (await call.body(GroupPost)).group
    name = settings.name
    call.acted_on = call.acted_on._replace(group=name, detail=_detail(settings))
    call.grant.check(name)
    await _check(call, settings)
    return json(GroupWrapper(await call.store.groups.configure(name, settings, call.grant.name)), 201)


async def configure(call: Call) -> Response:
    """Replace all settings of a group. A setting that is left out gets its default."""
    settings = (await call.body(GroupPut)).group
    call.acted_on = call.acted_on._replace(detail=_detail(settings))
    await _check(call, settings)
    return json(GroupWrapper(await call.store.groups.configure(call.group, settings, call.grant.name)))


async def adjust(call: Call) -> Response:
    """Change some settings of a group. A setting that is left out keeps its value, and null is the default."""
    changes = (await call.body(GroupPatch)).group
    call.acted_on = call.acted_on._replace(detail=_detail(changes))
    await _check(call, changes)
    return _tagged(await call.store.groups.adjust(call.group, changes, call.grant.name, call.if_match()))


async def delete_group(call: Call) -> Response:
    """Delete a group with its finished jobs, their logs, its settings and statistics.

    A group with jobs that are delayed, queued or running is a 409 that says how many; cancel these first. Nothing of
    the group stays but its acts in the audit. Its name may be used again. A group with very many jobs may get a 503
    that says how many are left: repeat the call, and it continues.
    """
    await call.store.groups.delete_group(call.group)
    return nothing()


async def _check(call: Call, given: GroupSettings | GroupChanges) -> None:
    """Raise Invalid for a mask in the place of a value: a page showed it, and would store it.

    Raise StoreUnavailable for a setting that some brokers of the store do not know yet, and Forbidden for dead letters
    to a group that the caller does not reach.
    """
    if given.dead_letter_to:
        call.grant.check(given.dead_letter_to)
        await call.store.require_layout(DEAD_LETTERS, "Groups with dead_letter_to")
    if given.start_within:
        await call.store.require_layout(DEADLINES, "Deadlines and run_at")
    if isinstance(given.rate_limit, JobRate) or given.max_jobs or given.max_bytes or given.priority_boost:
        await call.store.require_layout(GROUP_BUDGETS, "Rates with a time, max_jobs, max_bytes and priority_boost")
    if given.fair_keys:
        await call.store.require_layout(FAIR, "Groups with fair_keys")
    if given.retry:
        await call.store.require_layout(POLICIES, "Retry policies")
    masked = [name for name, value in (given.env_vars or {}).items() if value == MASK]
    if masked:
        raise Invalid(f"{masked[0]} is masked, so its value would be lost: reveal it first.", fields="group.env_vars")


def _detail(given: GroupSettings | GroupChanges) -> str:
    """What the audit says: the settings with their values, but for those that may be secret or long."""
    words = []
    for name in given.__struct_fields__:
        if name == "name":
            continue  # the audit has the group itself
        value = getattr(given, name)
        value = rate_text(value) if isinstance(value, JobRate) else value
        if value is UNSET or (value is None and isinstance(given, GroupSettings)):
            continue
        is_shown = value is None or isinstance(value, str | int)
        shown = "default" if value is None else str(value).lower() if isinstance(value, bool) else value
        words.append(f"{name} {shown}" if is_shown else name)
    return ", ".join(words)


def _tagged(shown: TaggedGroup) -> Response:
    return json(GroupWrapper(shown.group), headers=(("ETag", shown.tag),))
