"""Coroutines that run without a task, and calls of one turn that leave together."""

import asyncio
from typing import Any

import pytest

from broker.core.inline_task import InlineTask
from broker.models.fields import MAX_JOBS
from broker.store.batcher import MOST_BYTES, MOST_JOBS, Batcher

Ends = list[tuple[Any, BaseException | None]]


@pytest.fixture
def ends() -> Ends:
    """The arguments of `done`."""
    return []


async def test_steps_run_at_once_up_to_the_first_wait(ends: Ends) -> None:
    """What comes before the first wait is done when the call returns; the rest when the future is."""
    waited = asyncio.get_running_loop().create_future()
    begun: list[int] = []

    async def work() -> int:
        begun.append(1)
        return int(await waited) + 1

    InlineTask(work(), lambda *end: ends.append(end))
    assert (begun, ends) == ([1], [])
    waited.set_result(41)
    await asyncio.sleep(0)
    assert ends == [(42, None)]


async def test_steps_take_turns(ends: Ends) -> None:
    """asyncio.sleep(0) lets others go first."""

    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    InlineTask(work(), lambda *end: ends.append(end))
    assert ends == []
    await asyncio.sleep(0)
    assert ends == [("done", None)]


async def test_steps_hand_on_what_is_raised(ends: Ends) -> None:
    """A fault of the work, or of what it waits for, is reported."""
    waited = asyncio.get_running_loop().create_future()

    async def work() -> None:
        await waited

    InlineTask(work(), lambda *end: ends.append(end))
    waited.set_exception(KeyError("x"))
    await asyncio.sleep(0)
    [(result, fault)] = ends
    assert result is None
    assert isinstance(fault, KeyError)


async def test_steps_are_cancelled_as_tasks_are(ends: Ends) -> None:
    """Cancelling cancels what is waited for, and the work may clean up."""
    waited, cleaned = asyncio.get_running_loop().create_future(), []

    async def work() -> None:
        try:
            await waited
        finally:
            cleaned.append(1)

    InlineTask(work(), lambda *end: ends.append(end)).cancel()
    await asyncio.sleep(0)
    assert waited.cancelled()
    assert cleaned == [1]
    assert isinstance(ends[0][1], asyncio.CancelledError)


class Sent:
    """Answers each part with its double, and keeps what was sent together."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.unwanted: list[int] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, parts: Any) -> list[int]:
        self.calls.append(list(parts))
        await self.may_answer.wait()
        if 13 in parts:
            raise KeyError(13)
        return [2 * part for part in parts]


@pytest.fixture
async def sent() -> tuple[Sent, Batcher[int, int]]:
    """Ticks, and what they send."""
    sent = Sent()
    return sent, Batcher(sent, sent.unwanted.append)


async def test_ticks_gather_the_calls_of_a_turn(sent: tuple[Sent, Batcher[int, int]]) -> None:
    """Calls of one loop iteration leave as one, each with its own result; those of the next leave separately."""
    seen, ticks = sent
    assert await asyncio.gather(*(ticks.call(n, 1) for n in range(3))) == [0, 2, 4]
    assert await ticks.call(5, 1) == 10
    assert seen.calls == [[0, 1, 2], [5]]


@pytest.mark.parametrize(("jobs", "size_bytes"), [(MOST_JOBS // 2, 0), (1, MOST_BYTES // 2), (MAX_JOBS // 2, 0)])
async def test_ticks_carry_no_more_than_they_may(
    sent: tuple[Sent, Batcher[int, int]], jobs: int, size_bytes: int
) -> None:
    """A call that would be too large leaves before the part that makes it so; one part may be larger."""
    seen, ticks = sent
    assert await asyncio.gather(*(ticks.call(n, jobs, size_bytes) for n in range(3))) == [0, 2, 4]
    assert seen.calls == ([[0], [1], [2]] if jobs > MOST_JOBS else [[0, 1], [2]])


async def test_ticks_raise_a_fault_at_every_part(sent: tuple[Sent, Batcher[int, int]]) -> None:
    """Each call that shared the failed one gets the error."""
    _, ticks = sent
    results = await asyncio.gather(ticks.call(1, 1), ticks.call(13, 1), return_exceptions=True)
    assert [type(result) for result in results] == [KeyError, KeyError]


async def test_ticks_hand_on_what_nobody_waits_for(sent: tuple[Sent, Batcher[int, int]]) -> None:
    """The result of a cancelled call is reported as unwanted; its neighbours have theirs."""
    seen, ticks = sent
    seen.may_answer.clear()
    first, second = ticks.call(1, 1), ticks.call(2, 1)
    await asyncio.sleep(0.01)
    assert ticks.is_busy
    first.cancel()
    seen.may_answer.set()
    assert await second == 4
    assert seen.unwanted == [2]
    assert not ticks.is_busy
