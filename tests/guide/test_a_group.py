"""What groups are for, and in which order jobs are handed out."""

from broker.models.groups import GroupSettings
from broker.models.jobs import NewJob
from broker.models.reports import Finish
from worker.client import Client


async def test_higher_priority_goes_first(client: Client) -> None:
    """Over all groups, jobs of a higher priority go first, and inside one priority the one that came first."""
    await client.enqueue("mail", [NewJob(image="low", priority=0), NewJob(image="high", priority=2)])
    await client.enqueue("video", [NewJob(image="middle", priority=1), NewJob(image="low-too", priority=0)])
    assert [job.image for job in await client.next(4)] == ["high", "middle", "low", "low-too"]


async def test_a_group_fills_in_what_jobs_leave_out(client: Client) -> None:
    """A group's image is the one of jobs that name none; its env_vars go to whoever runs them."""
    await client.configure("mail", GroupSettings(image="send", env_vars={"SMTP": "mx.example.org"}))
    await client.enqueue("mail", [NewJob(payload="to: ann")])
    [job] = await client.next()
    assert (job.image, job.env_vars) == ("send", {"SMTP": "mx.example.org"})


async def test_a_paused_group_hands_out_nothing(client: Client) -> None:
    """A paused group takes jobs but hands none out, and other groups go on."""
    await client.configure("mail", GroupSettings(paused=True))
    await client.enqueue("mail", [NewJob(image="send")])
    await client.enqueue("video", [NewJob(image="cut")])
    assert [job.group_name for job in await client.next(10)] == ["video"]

    await client.configure("mail", GroupSettings())
    assert [job.group_name for job in await client.next(10)] == ["mail"]


async def test_only_so_many_at_once(client: Client) -> None:
    """With max_concurrency, a group's next job is handed out when one that runs is finished."""
    await client.configure("mail", GroupSettings(max_concurrency=2))
    await client.enqueue("mail", [NewJob(image="send")] * 3)
    first, _ = await client.next(10)
    assert await client.next(10) == []
    await client.finish([Finish(group_name="mail", id=first.id, status="succeeded", lease=first.lease)])
    assert len(await client.next(10)) == 1


async def test_the_same_request_twice(client: Client) -> None:
    """A producer that lost the answer sends the same request again with its key, and nothing is doubled."""
    jobs = [NewJob(image="send", payload="to: ann")]
    first = await client.enqueue("mail", jobs, key="order-7")
    assert await client.enqueue("mail", jobs, key="order-7") == first
    assert (await client.group("mail")).counts.queued == 1


async def test_thousands_in_a_few_calls(client: Client) -> None:
    """A thousand jobs go in with one call, out with one call, and are finished with one call."""
    await client.enqueue("mail", [NewJob(image="send")] * 1000)
    jobs = await client.next(1000)
    done = [Finish(group_name=job.group_name, id=job.id, status="succeeded", lease=job.lease) for job in jobs]
    outcomes = await client.finish(done)
    assert [outcome.ok for outcome in outcomes] == [True] * 1000
    assert (await client.group("mail")).counts.succeeded == 1000
