"""Jobs so large that a whole page of them would hold up the store: an answer is bounded in bytes too."""

import pytest

from broker.store import Store
from tests.contract.building import GROUP, enqueue, ids, new, now_ms

MOST_BYTES = 8 * 1024 * 1024
"""An answer that has this many bytes takes no further job: of specs in a list, of whole texts in `next`."""
PAYLOAD = "x" * 1_000_000
JOBS = 20


async def enqueue_large(store: Store) -> list[str]:
    """Ids of jobs that together are larger than an answer may be, in their order."""
    return [job_id for _ in range(JOBS) for job_id in ids((await store.enqueue(GROUP, [new(payload=PAYLOAD)])).jobs)]


async def test_next_of_large_jobs(store: Store) -> None:
    """A call hands out as many as fit into an answer, in order, and the next call goes on; none is passed over."""
    made = await enqueue_large(store)
    calls = []
    while jobs := await store.next(JOBS):
        calls.append(ids(jobs))
    assert [job_id for call in calls for job_id in call] == made
    assert [len(call) for call in calls] == [9, 9, 2]


async def test_list_of_large_jobs(store: Store) -> None:
    """A page has as many as fit into an answer, and its cursor leads to the others, in both orders."""
    made = await enqueue_large(store)
    for newest_first in (False, True):
        pages, cursor = [], ""
        while not pages or cursor:
            jobs, cursor = await store.list(GROUP, JOBS, cursor=cursor, newest_first=newest_first)
            pages.append(ids(jobs))
        listed = [job_id for page in pages for job_id in page]
        assert listed == (made[::-1] if newest_first else made)
        assert [len(page) for page in pages] == [9, 9, 2]


async def enqueue_bytes(store: Store, size: int) -> None:
    """A job whose spec has exactly so many bytes."""
    await enqueue(store, payload="x" * (size - len('{"image":"post","payload":""}')))


@pytest.mark.parametrize(("size", "number"), [(MOST_BYTES - 1, 2), (MOST_BYTES, 1)])
@pytest.mark.parametrize("group", [GROUP, "other"])
@pytest.mark.parametrize("images", [(), ("post",)])
async def test_next_at_the_limit(store: Store, size: int, number: int, group: str, images: tuple[str, ...]) -> None:
    """An answer with room for a byte takes another job, of the same group or the next one; a full one does not."""
    await enqueue_bytes(store, size - len(f"{GROUP} {now_ms(store)} "))
    await enqueue(store, group)
    assert len(await store.next(2, images=images)) == number


@pytest.mark.parametrize(("size", "number"), [(MOST_BYTES - 1, 2), (MOST_BYTES, 1)])
async def test_list_at_the_limit(store: Store, size: int, number: int) -> None:
    """A page with room for a byte takes another job; a full one ends, and its cursor leads on."""
    await enqueue_bytes(store, size)
    await enqueue(store)
    jobs, cursor = await store.list(GROUP, 2)
    assert (len(jobs), bool(cursor)) == (number, number == 1)
