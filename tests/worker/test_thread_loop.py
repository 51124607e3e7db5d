"""Work in a thread of its own: it ends when the one who started it does."""

import asyncio
import threading

import pytest

from worker.daemon.thread_loop import run_in_thread


async def _for_ever(ended: threading.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()


@pytest.mark.parametrize("turns", [1, 2, 50])
async def test_work_ends_with_who_started_it(turns: int) -> None:
    """However soon it is cancelled, its thread does nothing more."""
    ended = threading.Event()
    running = asyncio.create_task(run_in_thread(lambda: _for_ever(ended)))
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert ended.is_set()


async def test_a_fault_of_the_work_is_raised() -> None:
    """What the work raises is raised where it was started."""

    async def broken() -> None:
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        await run_in_thread(broken)
