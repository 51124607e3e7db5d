"""A store with jobs in every status, as the runbook's recipes find it."""

from broker.core.errors import LeaseLost
from broker.core.settings import BrokerSettings
from broker.models.groups import GroupSettings
from broker.models.jobs import NewJob
from broker.models.reports import Held
from broker.resp.client import connect
from tests.stores import Store


async def fill(url: str) -> str:
    """Put jobs in every status into the group mail, one into the paused group slow; the id of a running job.

    The delayed job has a deadline.
    """
    redis = connect(url, 5, 4)
    try:
        store = Store(redis, BrokerSettings())
        await store.open()
        await store.configure("slow", GroupSettings(image="cat", paused=True))
        await store.enqueue("slow", [NewJob()])
        await store.enqueue("mail", [NewJob(image="cat", payload=f"letter {i}") for i in range(8)])
        await store.enqueue("mail", [NewJob(image="cat", delay=3600, end_within=7200)])
        running, _, good, bad = await store.next(4)
        await store.succeed("mail", good.id, str(good.lease))
        await store.fail("mail", bad.id, str(bad.lease), "bad_exit", "no such address")
        await store.cancel("mail", (await store.list("mail", 1, statuses=["queued"]))[0][0].id)
        refused = await store.touch([Held(group_name="mail", id=running.id, lease="of-another-delivery")])
        assert isinstance(refused[0], LeaseLost)
        return running.id
    finally:
        await redis.aclose()
