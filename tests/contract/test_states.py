"""Every status times every verb: accepted exactly where MOVES says, refused everywhere else without a trace."""

from collections.abc import Awaitable, Callable

import pytest

from broker.core.errors import NotFound, WrongState
from broker.core.states import MOVES, STATUSES, Move, Status
from broker.models.batches import CallbackJob, NewBatch
from broker.models.groups import Counts
from broker.models.jobs import Job
from broker.models.retries import Retry
from broker.store.format.exported import read_line
from tests.contract.building import (
    DAY_S,
    GROUP,
    WAYS_TO,
    cancelled,
    clock,
    configure,
    delayed,
    delayed_with_deadline,
    dump,
    members_key,
    queued,
    queued_with_deadline,
    reap_after,
    running,
    started,
    status_of,
    touch,
    wait,
)
from tests.contract.schedules import fire_next, made, put
from tests.stores import Store

Act = Callable[[Store, Job], Awaitable[object]]
Bring = Callable[[Store], Awaitable[Job]]
Edge = tuple[str, Status | None, Status | None]


async def _reap_at_the_limit(store: Store, job: Job) -> None:
    await configure(store, delivery_limit=1)
    await reap_after(store, 60)


async def _reap_under_a_policy(store: Store, _: Job) -> None:
    await configure(store, delivery_limit=1, retry=Retry())
    await reap_after(store, 60)


async def _fail_under_a_policy(store: Store, job: Job) -> None:
    await configure(store, retry=Retry())
    await store.fail(job.group_name, job.id, job.lease or "")


async def _wait_for_another(store: Store, job: Job) -> None:
    is_running = await store.redis.zscore(members_key(store, job.group_name, "running"), job.id) is not None
    other = (await queued(store, "others")).id if is_running else "0" * 16  # who is refused makes no job
    await store.completer.wait(job.group_name, job.id, [other], lease=job.lease or "")


async def _wait_for_one_that_has_ended(store: Store, job: Job) -> None:
    other = await cancelled(store)
    await store.completer.wait(job.group_name, job.id, [other.id], lease=job.lease or "")


ACTS: dict[str, Act] = {
    "next": lambda store, job: store.next(1, [job.group_name]),
    "start": lambda store, job: store.start(job.group_name, job.id, job.lease or ""),
    "touch": touch,
    "succeed": lambda store, job: store.succeed(job.group_name, job.id, job.lease or ""),
    "fail": lambda store, job: store.fail(job.group_name, job.id, job.lease or ""),
    "release": lambda store, job: store.release(job.group_name, job.id, job.lease or ""),
    "wait": _wait_for_another,
    "cancel": lambda store, job: store.cancel(job.group_name, job.id),
    "retry": lambda store, job: store.retry(job.group_name, job.id),
    "promote": lambda store, job: store.promote(job.group_name, job.id, "ann"),
    "remove": lambda store, job: store.remove(job.group_name, job.id),
    "delete_group": lambda store, job: store.groups.delete_group(job.group_name),
    "log": lambda store, job: store.log(job.group_name, job.id, 12),
    "reap": lambda store, _: reap_after(store, 8 * DAY_S),
}
"""How each verb is said of a job."""

SECOND_ACTS: dict[Edge, Act] = {
    ("release", "running", "delayed"): lambda store, job: store.release(job.group_name, job.id, job.lease or "", 30),
    ("wait", "running", "queued"): _wait_for_one_that_has_ended,
    ("reap", "running", "failed"): _reap_at_the_limit,
    ("reap", "running", "delayed"): _reap_under_a_policy,
    ("fail", "running", "delayed"): _fail_under_a_policy,
}
"""Where a verb takes one status to several, the acts for the others than the first."""


def _restored(bring: Bring) -> Bring:
    """Bring a job to a status, delete it as nobody could, and restore it from its export."""

    async def bring_again(store: Store) -> Job:
        job = await bring(store)
        pieces = [piece async for piece in store.transfer.export()]
        await store.redis.delete(*[key async for key in store.redis.scan_iter(f"{store.partitions[0]}:*", 1000)])
        lines = [read_line(line) for piece in pieces for line in piece.jobs]
        await store.transfer.restore(store.partitions[0], [], [line.job for line in lines if line.job])
        return await store.show(job.group_name, job.id)

    return bring_again


def _callback(delay_s: int) -> Bring:
    """Have a batch without members create its callback."""

    async def bring(store: Store) -> Job:
        new = NewBatch(on_over=CallbackJob(image="post", delay=delay_s))
        batch, _ = await store.batches.create(GROUP, new)
        await store.maintenance.settle(10)
        return await store.show(GROUP, (await store.batches.show(GROUP, batch.id)).callbacks["on_over"])

    return bring


async def _fired(store: Store) -> Job:
    """The job of a schedule."""
    await put(store)
    await fire_next(store)
    return (await made(store))[0]


async def _held_by_a_schedule(store: Store) -> Job:
    """The job of a schedule that waits for the one before."""
    await put(store, overlap="queue")
    await fire_next(store)
    await fire_next(store)
    return (await made(store))[1]


MADE: dict[Edge, Bring] = {("enqueue", None, "delayed"): delayed, ("enqueue", None, "queued"): queued}
MADE |= {("fire", None, "queued"): _fired, ("fire", None, "delayed"): _held_by_a_schedule}
MADE |= {("restore", None, status): _restored(WAYS_TO[status][0]) for status in STATUSES if status != "running"}
MADE |= {("settle", None, "delayed"): _callback(30), ("settle", None, "queued"): _callback(0)}
"""The moves that begin a job's life."""

UNADDRESSED = {"next", "reap"}
"""Verbs that name no job: where there is nothing for them they are not refused, they do nothing."""
OF_JOBS = sorted(ACTS.keys() - UNADDRESSED - {"delete_group"})
"""Verbs that name a job."""

SOURCES = {(move.verb, move.before) for move in MOVES}
OF_OTHERS = {"enqueue", "settle", "retry_batch", "fire"}
"""Verbs that move a job because of another one.

test_dependencies, test_unique, test_batches and test_schedules have them.
"""
LATE = (delayed_with_deadline, queued_with_deadline)
MOVED = [
    (move, way)
    for move in MOVES
    if move.before is not None and move.verb not in OF_OTHERS
    for way in WAYS_TO[move.before]
    if move.verb != "reap" or move.before not in {"delayed", "queued"} or (move.after == "failed") == (way in LATE)
]
NOT_MOVED = [
    (verb, way) for verb in ACTS for status in STATUSES if (verb, status) not in SOURCES for way in WAYS_TO[status]
]
REFUSED = [(verb, way) for verb, way in NOT_MOVED if verb in OF_JOBS]
IDLE = [(verb, way) for verb, way in NOT_MOVED if verb in UNADDRESSED]


def _edge(move: Move) -> Edge:
    return move.verb, move.before, move.after


def _names(value: object) -> str:
    if isinstance(value, Move):
        return f"{value.verb}-{value.before}-{value.after}"
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize(("move", "bring"), MOVED, ids=_names)
async def test_verb_in_a_status_that_it_takes(store: Store, move: Move, bring: Bring) -> None:
    """Every move of the table is accepted, and takes the job to the status that the table says."""
    job = await bring(store)
    assert await status_of(store, job) == move.before

    await SECOND_ACTS.get(_edge(move), ACTS[move.verb])(store, job)

    assert await status_of(store, job) == move.after


async def test_cancel_again(store: Store) -> None:
    """A cancelled job that is cancelled once more is answered as it is; nothing changes, its time neither."""
    job = await cancelled(store)
    before = await dump(store)
    wait(store, 5)
    assert await store.cancel(GROUP, job.id) == job
    assert await dump(store) == before


@pytest.mark.parametrize("bring", [delayed, queued, running, started])
async def test_cancel(store: Store, bring: Bring) -> None:
    """A cancelled job says at whose request and when; nobody holds it."""
    job = await bring(store)
    wait(store, 5)
    shown = await store.cancel(GROUP, job.id)
    assert (shown.reason, shown.completed_at) == ("client_request", clock(store))
    assert not shown.expires_at
    assert (await store.groups.show(GROUP)).counts == Counts(cancelled=1)


@pytest.mark.parametrize("edge", MADE, ids=lambda edge: f"{edge[0]}-{edge[2]}")
async def test_verb_makes_a_job(store: Store, edge: Edge) -> None:
    """A new job is delayed when it has a delay, else queued; a restored one is as it was exported."""
    job = await MADE[edge](store)

    assert job.status == await status_of(store, job) == edge[2]


@pytest.mark.parametrize(("verb", "bring"), REFUSED, ids=_names)
async def test_verb_in_another_status(store: Store, verb: str, bring: Bring) -> None:
    """Any other verb is refused by a message that says the status and since when, and changes nothing."""
    job = await bring(store)
    shown = await store.show(GROUP, job.id)
    before = await dump(store)

    with pytest.raises(WrongState) as refused:
        await ACTS[verb](store, job)

    assert f"is {shown.status}," in refused.value.message
    assert (shown.completed_at or shown.started_at or shown.created_at) in refused.value.message
    assert await dump(store) == before


@pytest.mark.parametrize(("verb", "bring"), [pair for pair in NOT_MOVED if pair[0] == "delete_group"], ids=_names)
async def test_verb_of_a_group_in_another_status(store: Store, verb: str, bring: Bring) -> None:
    """A group with such a job is not deleted: the message says how many jobs have which status."""
    job = await bring(store)
    before = await dump(store)

    with pytest.raises(WrongState, match=rf"unfinished jobs: 1 {job.status}\."):
        await ACTS[verb](store, job)

    assert await dump(store) == before


async def test_refusal_of_a_finished_job_says_when_it_ended(store: Store) -> None:
    """Without the time of its delivery or of its creation."""
    job = await running(store)
    wait(store, 5)
    ended = await store.succeed(GROUP, job.id, job.lease)
    wait(store, 5)
    with pytest.raises(WrongState, match=f"is succeeded, since {ended.completed_at}"):
        await store.start(GROUP, job.id)
    assert ended.completed_at != ended.started_at


@pytest.mark.parametrize(("verb", "bring"), IDLE, ids=_names)
async def test_unaddressed_verb_with_nothing_to_do(store: Store, verb: str, bring: Bring) -> None:
    """`next` dispatches queued jobs only, and `reap` leaves those alone."""
    job = await bring(store)
    before = await dump(store)

    await ACTS[verb](store, job)

    assert await dump(store) == before


@pytest.mark.parametrize("verb", OF_JOBS)
async def test_verb_for_a_job_that_is_not_there(store: Store, verb: str) -> None:
    """A job that never existed, in a group that has others, is not found."""
    job = await running(store)
    job.id = "0" * 16

    await _assert_not_found(store, verb, job)


@pytest.mark.parametrize("verb", OF_JOBS)
async def test_verb_for_a_removed_job(store: Store, verb: str) -> None:
    """A removed job is not found, whatever is asked of it."""
    job = await running(store)
    await store.succeed(job.group_name, job.id, job.lease)
    await store.remove(job.group_name, job.id)
    await _assert_not_found(store, verb, job)


@pytest.mark.parametrize("bring", [way for ways in WAYS_TO.values() for way in ways], ids=_names)
async def test_verb_for_a_job_of_another_group(store: Store, bring: Bring) -> None:
    """A job is known only in its own group, even to who has its lease."""
    job = await bring(store)
    await queued(store, "elsewhere")
    job.group_name = "elsewhere"
    for verb in OF_JOBS:
        await _assert_not_found(store, verb, job)


async def _assert_not_found(store: Store, verb: str, job: Job) -> None:
    before = await dump(store)
    with pytest.raises(NotFound):
        await ACTS[verb](store, job)
    assert await dump(store) == before


def test_moves_are_all_taken() -> None:
    """Every row of MOVES is tried above, and so is every verb in every status that it does not take."""
    tried = {_edge(move) for move, _ in MOVED} | MADE.keys()
    assert tried == {_edge(move) for move in MOVES if move.before is None or move.verb not in OF_OTHERS}
    assert ACTS.keys() | {"enqueue", "restore", "settle", "retry_batch", "fire"} == {move.verb for move in MOVES}
    for edge in SECOND_ACTS:
        assert len([move for move in MOVES if (move.verb, move.before) == edge[:2]]) > 1
