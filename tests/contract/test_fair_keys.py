"""Groups with fair_keys: keys take turns, so a quiet one waits for one job of each other key, however many these have."""

from typing import Any

import pytest

from broker.diagnostics.consistency import check
from broker.models.batches import CallbackJob, NewBatch
from broker.models.groups import GroupChanges
from broker.models.jobs import Job, NewJob
from broker.resp import keys
from tests.contract.building import GROUP, configure, forget_all, names, reap_after
from tests.contract.flows import enqueue_flow, named, settle
from tests.stores import Store


@pytest.fixture
async def fair(store: Store) -> Store:
    """A store whose groups take turns, with one group whose keys do."""
    await store.order.set("fair")
    await configure(store, fair_keys=True)
    return store


def of(key: str | None, n: int = 1, **fields: Any) -> list[NewJob]:
    """Jobs of a key, known by its name."""
    return [named(key or "-", key=key, **fields) for _ in range(n)]


async def put(store: Store, key: str | None, n: int = 1, **fields: Any) -> list[Job]:
    """Enqueue jobs of a key in one call."""
    return await enqueue_flow(store, *of(key, n, **fields))


async def served(store: Store, n: int = 1000, each: int = 1, images: tuple[str, ...] = ()) -> str:
    """The keys of the next n jobs in the order of their dispatch, from calls for `each` jobs."""
    found: list[Job] = []
    while len(found) < n and (jobs := await store.next(min(each, n - len(found)), [GROUP], images=images)):
        found += jobs
    return "".join(job.payload or "" for job in found)


@pytest.mark.parametrize("images", [(), ("post",)])
@pytest.mark.parametrize("each", [1, 3, 100])
async def test_a_quiet_key_passes_a_backlog(fair: Store, each: int, images: tuple[str, ...]) -> None:
    """A tenant with many jobs lets each other one pass, in calls of any size, for workers that ask by image too."""
    await put(fair, "a", 10)
    await put(fair, "b", 2)
    assert await served(fair, 3, each, images) == "aba"
    await put(fair, "c", 3)
    await put(fair, "b")
    assert await served(fair, 100, each, images) == "bc" + "acb" + "ac" + "a" * 6
    assert await check(fair) == []
