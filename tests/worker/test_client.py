"""The client: every verb against the real front end."""

from collections.abc import AsyncIterator

import pytest

from broker.core.errors import IdempotencyMismatch, Invalid, LeaseLost, LimitReached, NotFound, TooLarge, WrongState
from broker.models.groups import GroupSettings
from broker.models.jobs import NewJob
from broker.models.reports import Finish, Held
from worker.client import Client


async def test_the_life_of_a_job(client: Client) -> None:
    """Enqueue, next, touch, log, succeed, read the log, remove."""
    (job,) = await client.enqueue("g", [NewJob(image="i", payload="p")])
    assert (await client.show("g", job.id)).payload == "p"
    (taken,) = await client.next(lease_s=7)
    assert taken.id == job.id
    assert await client.touch("g", job.id, taken.lease or "") > (taken.expires_at or "")
    assert (await client.succeed("g", job.id, taken.lease or "")).status == "succeeded"
    await client.log("g", job.id, b"printed\n")
    assert [piece async for piece in client.read_log("g", job.id)] == [b"printed\n"]
    await client.remove("g", job.id)
    with pytest.raises(NotFound):
        await client.show("g", job.id)


async def test_the_other_ends(client: Client) -> None:
    """Start, release, fail, retry, cancel."""
    (job,) = await client.enqueue("g", [NewJob(image="i")])
    started = await client.start("g", job.id)
    assert started.status == "running"
    assert (await client.release("g", job.id, delay_s=0)).status == "queued"
    (taken,) = await client.next()
    failed = await client.fail("g", job.id, taken.lease or "", reason="bad_exit", error="exit code 1")
    assert (failed.status, failed.reason, failed.error) == ("failed", "bad_exit", "exit code 1")
    again = await client.retry("g", job.id)
    assert again.retry_of == job.id
    assert (await client.cancel("g", again.id)).status == "cancelled"


async def test_many_at_once(client: Client) -> None:
    """The bulk touch and finish answer for each item, in order, and one bad item does not stop the others."""
    await client.enqueue("g", [NewJob(image="i")] * 3)
    jobs = await client.next(3)
    held = [Held(group_name="g", id=job.id, lease=job.lease or None) for job in jobs]
    held[1] = Held(group_name="g", id=jobs[1].id, lease="another")
    assert [(one.ok, one.error.code if one.error else "") for one in await client.touch_all(held)] == [
        (True, ""),
        (False, "lease_lost"),
        (True, ""),
    ]
    items = [Finish(group_name="g", id=job.id, status="succeeded", lease=job.lease or None) for job in jobs]
    assert [one.ok for one in await client.finish(items)] == [True] * 3
    assert [one.ok for one in await client.finish(items)] == [True] * 3


async def test_a_list_has_pages(client: Client) -> None:
    """A cursor leads to the next page, until it is empty."""
    jobs = await client.enqueue("g", [NewJob(image="i")] * 3)
    page, cursor = await client.list("g", 2, statuses=["queued"])
    rest, end = await client.list("g", 2, statuses=["queued"], cursor=cursor)
    assert [job.id for job in page + rest] == [job.id for job in jobs]
    assert end == ""
    newest, _ = await client.list("g", 1, newest_first=True, created_after="2020-01-01T00:00:00+02:00")
    assert newest[0].id == jobs[2].id


async def test_groups(client: Client) -> None:
    """Configure replaces a group's settings; groups lists them."""
    group = await client.configure("g", GroupSettings(image="i", env_vars={"A": "b"}, paused=True))
    assert (group.image, group.env_vars, group.paused) == ("i", {"A": "b"}, True)
    assert await client.group("g") == group
    assert await client.groups() == ([group], "")
    (job,) = await client.enqueue("g", [NewJob()])
    assert await client.next() == []
    with pytest.raises(LimitReached):
        await client.start("g", job.id)


async def test_the_same_key_is_the_same_call(client: Client) -> None:
    """With a key an enqueue may be sent again, but not another one."""
    first = await client.enqueue("g", [NewJob(image="i")], key="k")
    assert [job.id for job in await client.enqueue("g", [NewJob(image="i")], key="k")] == [job.id for job in first]
    with pytest.raises(IdempotencyMismatch):
        await client.enqueue("g", [NewJob(image="other")], key="k")


async def test_a_log_in_pieces(client: Client) -> None:
    """A log is streamed both ways; its last lines can be had alone."""

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(100):
            yield f"{number}\n".encode() * 10_000

    (job,) = await client.enqueue("g", [NewJob(image="i")])
    await client.next()
    await client.log("g", job.id, pieces())
    read = b"".join([piece async for piece in client.read_log("g", job.id)])
    assert read == b"".join([piece async for piece in pieces()])
    assert b"".join([piece async for piece in client.read_log("g", job.id, tail=2)]) == b"99\n99\n"


async def test_refusals_are_classes(client: Client) -> None:
    """What the broker refuses is raised as the class of its code, with the message and the field."""
    with pytest.raises(Invalid) as invalid:
        await client.enqueue("g", [NewJob(image="i"), NewJob(image="i", timeout=0)])
    assert invalid.value.fields == "jobs[1].timeout"
    (job,) = await client.enqueue("g", [NewJob(image="i")])
    with pytest.raises(WrongState, match="queued"):
        await client.succeed("g", job.id)
    await client.next()
    with pytest.raises(LeaseLost):
        await client.succeed("g", job.id, "another")


async def test_a_refused_log(client: Client) -> None:
    """A log that is refused before all of it is sent is the refusal, not a broken connection."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"x" * (1 << 18)

    (job,) = await client.enqueue("g", [NewJob(image="i")])
    with pytest.raises(WrongState):
        await client.log("g", job.id, pieces())
    await client.next()
    with pytest.raises(TooLarge):
        await client.log("g", job.id, pieces())


@pytest.mark.parametrize("name", ["a/b", "ü", "a b", "..", "a%2Fb", "a?b#c", "\n"])
async def test_a_hostile_name_stays_one_part_of_the_path(client: Client, name: str) -> None:
    """Whatever a name holds, it reaches the broker as a name, and is refused there."""
    with pytest.raises((Invalid, NotFound)):
        await client.show(name, "0" * 16)
    with pytest.raises((Invalid, NotFound)):
        await client.group(name)
