"""Jobs so large that a whole page of them would hold up the store: an answer is bounded in bytes too."""

from broker.store import Store
from tests.contract.building import GROUP, ids, new

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
