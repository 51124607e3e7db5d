"""How a broker asks the store for the jobs that its clients wait for."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from broker.core.errors import StoreUnavailable
from broker.resp import keys
from broker.store import ends
from tests.conftest import eventually
from tests.contract.building import GROUP, cancelled, enqueue, failed, queued, running, spread, succeeded
from tests.stores import Store


class Asked:
    """Between a broker and its store: the commands of each look."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks: list[tuple[str, list[tuple[Any, ...]]]] = []
        self.is_away = False
        self._read = store._partitions.read
        monkeypatch.setattr(store._partitions, "read", self.read)
        monkeypatch.setattr(ends, "LOOK_S", 0.01)

    async def read(self, partition: str, commands: Sequence[Any]) -> list[Any]:
        self.looks.append((partition, [tuple(command) for command in commands]))
        if self.is_away:
            raise StoreUnavailable
        return await self._read(partition, commands)


@pytest.fixture
def asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(store, monkeypatch)


async def test_one_command_for_all_that_is_waited_for(store: Store, asked: Asked) -> None:
    """A look is one HMGET for each thousand jobs, however many clients wait for them."""
    jobs = [(GROUP, f"{number:016}") for number in range(2500)]
    with store.ends.waiting(jobs), store.ends.waiting(jobs[:10]):
        assert store.ends.n_jobs == 2500
        await eventually(lambda: len(asked.looks) > 1)
    partition, commands = asked.looks[0]
    assert partition == store.partitions[0]
    assert [(words[0], words[1], len(words) - 2) for words in commands] == [
        ("HMGET", keys.executions(partition), n) for n in (1000, 1000, 500)
    ]
    assert not store.ends.is_awaited


@pytest.mark.parametrize("partitions", [3])
async def test_only_partitions_that_matter_are_asked(store: Store, asked: Asked) -> None:
    """A partition without a job that is waited for is left alone."""
    group = spread(store)[1]
    with store.ends.waiting([(group, "0" * 16)]):
        await eventually(lambda: len(asked.looks) > 2)
    assert {partition for partition, _ in asked.looks} == {store.partitions[1]}


async def test_nobody_asks_when_nobody_waits(store: Store, asked: Asked) -> None:
    """After the last client nothing is asked, also when the next one comes while a look is under way."""
    for _ in range(3):
        with store.ends.waiting([(GROUP, "0" * 16)]):
            count = len(asked.looks)
            await eventually(lambda count=count: len(asked.looks) > count)
    with store.ends.waiting([(GROUP, "1" * 16)]):
        assert len(store.ends._timers) == 1
    before = len(asked.looks)
    await asyncio.sleep(0.05)
    assert len(asked.looks) <= before
    assert (store.ends._timers, store.ends._seen) == ({}, {})


async def test_ends_of_each_kind(store: Store, asked: Asked) -> None:
    """Only jobs that are finished wake those who wait, with their status; jobs that wait or run do not."""
    over = [await succeeded(store), await failed(store), await cancelled(store)]
    others = [await running(store), await queued(store), await enqueue(store, delay=30)]
    with store.ends.waiting([(GROUP, job.id) for job in (*over, *others)]) as waiter:
        assert await waiter.until(asyncio.get_running_loop().time() + 5)
        assert waiter.changed == {job.id for job in over}
        assert [waiter.ends[job.id].status for job in over] == ["succeeded", "failed", "cancelled"]
        assert asked.looks


async def test_a_store_that_is_away(store: Store, asked: Asked) -> None:
    """A look that fails is repeated: an end is found when the store answers again."""
    job = await succeeded(store)
    asked.is_away = True
    with store.ends.waiting([(GROUP, job.id)]) as waiter:
        await eventually(lambda: len(asked.looks) > 3)
        assert waiter.changed == set()
        asked.is_away = False
        assert await waiter.until(asyncio.get_running_loop().time() + 5)
        assert waiter.changed == {job.id}
