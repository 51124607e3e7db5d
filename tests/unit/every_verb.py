"""One call of every method of the store that runs a script, for stores with something odd about them."""

from broker.core.errors import TitanError
from broker.models.batches import NewBatch
from broker.models.groups import GroupChanges, GroupSettings
from broker.models.jobs import NewJob
from broker.models.reports import Finish, Held
from broker.models.schedules import NewSchedule, ScheduledJob
from broker.models.workers import Announcement
from broker.store.audit import Act
from broker.store.looks import Filters


async def call_every_verb(store):
    """Call every verb on jobs of six groups; a refusal is an answer as well. Raises what is not one."""
    groups = ["maps", "mail", "thumbs", "video", "audio", "text"]
    for group in groups:
        await store.enqueue(group, [NewJob(image="x")] * 4, f"key of {group}")
        await store.enqueue(group, [NewJob(image="x", delay=1)])
    jobs = await store.next(12, groups) + await store.next(3)
    assert await store.next(1, groups, images=["y"]) == []
    first, second, third, fourth, fifth, *rest = jobs
    await store.start(first.group_name, first.id, first.lease)
    await store.touch([held(job) for job in jobs])
    await store.succeed(first.group_name, first.id, first.lease)
    await store.fail(second.group_name, second.id, second.lease, "bad_exit")
    await store.release(third.group_name, third.id, third.lease)
    await refused(store.completer.wait(third.group_name, third.id, [first.id], lease=third.lease))
    await store.cancel(fourth.group_name, fourth.id)
    await store.log(fifth.group_name, fifth.id, 12)
    await store.finish([finished(job) for job in (fifth, *rest[:3])])
    await store.release_all(rest[3:])
    await store.retry(first.group_name, first.id)
    await refused(store.jobs.retry_flow(first.group_name, first.id))
    [later, *_], _ = await store.list("maps", 1, statuses=["delayed"])
    await store.promote("maps", later.id)
    await store.remove(first.group_name, first.id)
    for group in groups:
        await store.configure(group, GroupSettings(max_concurrency=5))
        await store.groups.adjust(group, GroupChanges(paused=False), "ann")
        await store.list(group, 2)
        await store.looks.jobs(group, 2, Filters(text="x"), looks=3)
        await store.looks.causes(group, 3)
        await store.why.why(group)
    assert await store.jobs.find(third.id) == third.group_name
    await store.jobs.inputs(third.group_name, third.id)
    await store.flows.around(third.group_name, third.id, 9)
    await store.jobs.history(third.group_name, third.id)
    await store.dispatcher.asked.flush()
    await store.groups.list(3)
    await store.workers.announce(Announcement(name="w", host="h"))
    await store.workers.order("w", "quiet")
    await store.workers.list(3)
    await store.unique_keys.list("maps", 3)
    await store.lanes.list("maps", 3)
    await call_schedules(store, "maps")
    await call_batches(store, "maps")
    await store.maintenance.settle(10)
    await store.audit.note("batch", [Act("cancel", "ann")])
    await store.audit.list(3)
    await call_sessions(store)
    [mine, *_] = (await store.enqueue("films", [NewJob(image="x")], "key")).jobs
    await store.cancel("films", mine.id)
    await store.groups.delete_group("films")
    await call_in_turns(store)
    return await store.reap(100)


async def call_sessions(store):
    """Call the verbs of sessions."""
    await store.sessions.open("5e55", b"token", "csrf")
    await store.sessions.use("5e55")
    await store.sessions.list()
    await store.sessions.end("5e55")


async def call_in_turns(store):
    """Call what dispatches jobs while groups take turns."""
    await store.order.set("fair")
    await store.next(2)
    await store.order.set("fifo")


async def call_batches(store, group):
    """Call the verbs of batches."""
    batch, _ = await store.batches.create(group, NewBatch(jobs=[NewJob(image="x")], open=True))
    await store.batches.add(group, batch.id, [NewJob(image="x")])
    await store.batches.close(group, batch.id)
    await store.batches.members(group, batch.id, 3)
    await store.batches.list(group, 3)
    await refused(store.batches.retry_batch(group, batch.id))
    await store.batches.cancel(group, batch.id)


async def call_schedules(store, group):
    """Call the verbs of schedules."""
    for schedule in ("a", "b"):
        await store.schedules.put(group, schedule, NewSchedule(every=60, job=ScheduledJob(image="x")))
    await store.schedules.list(group, 3)
    await store.schedule_fires.run(group, "a", None)
    await store.schedules.pause(group, "a")
    await store.schedules.remove(group, "b")
    await store.maintenance.check_schedules(group, ["a", "b"], is_repair=False)


async def refused(call):
    """The class of what a call raised, None for nothing."""
    try:
        await call
    except TitanError as error:
        return type(error)
    return None


def held(job):
    """A job as the bulk touch takes it."""
    return Held(group_name=job.group_name, id=job.id, lease=job.lease)


def finished(job):
    """A job as the bulk finish takes it."""
    return Finish(group_name=job.group_name, id=job.id, lease=job.lease, status="succeeded")
