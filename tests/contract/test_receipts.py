"""What deliveries leave behind at their job."""

import pytest

from broker.models.jobs import Job
from broker.models.reports import Finish
from broker.models.workers import Receipt
from tests.contract.building import GROUP, running
from tests.stores import Store

RECEIPT = Receipt(worker="w1", host="h", delivery=1, exit_code=0, run_ms=12, max_rss_bytes=1 << 33, log_bytes=5)


async def left(store: Store, job: Job) -> list[tuple[str, int]]:
    """Of each receipt what became of the run, and its delivery."""
    shown = await store.show(job.group_name, job.id)
    return [(receipt.outcome, receipt.delivery) for receipt in shown.receipts or []]


async def test_finish_keeps_a_receipt(store: Store) -> None:
    """A report's receipt is shown with the job, with what became of it, and in no list."""
    good, bad = await running(store), await running(store)
    items = [
        Finish(group_name=GROUP, id=good.id, lease=good.lease or None, status="succeeded", receipt=RECEIPT),
        Finish(group_name=GROUP, id=bad.id, lease=bad.lease or None, status="failed", reason="x", receipt=RECEIPT),
    ]
    assert await store.finish(items) == [None, None]
    assert await left(store, good) == [("succeeded", 1)]
    assert await left(store, bad) == [("failed", 1)]
    [receipt] = (await store.show(GROUP, good.id)).receipts or []
    assert (receipt.worker, receipt.exit_code, receipt.max_rss_bytes) == ("w1", 0, 1 << 33)
    listed, _ = await store.list(GROUP, 10)
    assert not any(job.receipts for job in listed)


async def test_finish_without_a_receipt_keeps_nothing(store: Store) -> None:
    """A job whose reports have none has no field for them."""
    job = await running(store)
    await store.succeed(GROUP, job.id, job.lease or "")
    assert not (await store.show(GROUP, job.id)).receipts
    assert not await store.redis.hexists(f"{store.partitions[0]}:job:{job.id}", "receipts")


async def test_succeed_again_keeps_one_receipt(store: Store) -> None:
    """A report that is sent again after a lost answer leaves its receipt once."""
    job = await running(store)
    for _ in range(2):
        await store.succeed(GROUP, job.id, job.lease or "", receipt=RECEIPT)
    assert await left(store, job) == [("succeeded", 1)]


@pytest.mark.parametrize("times", [1, 5, 8])
async def test_release_keeps_the_last_receipts(store: Store, times: int) -> None:
    """A job that is released again and again keeps the last five receipts."""
    job = await running(store)
    for number in range(times):
        await store.release(GROUP, job.id, job.lease or "", receipt=Receipt(delivery=number))
        [job] = await store.next(1, [GROUP])
    assert await left(store, job) == [("released", number) for number in range(times)[-5:]]
    await store.fail(GROUP, job.id, job.lease or "", "bad_exit", receipt=RECEIPT)
    assert (await left(store, job))[-1] == ("failed", 1)
    assert len(await left(store, job)) == min(5, times + 1)
