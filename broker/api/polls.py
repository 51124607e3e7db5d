"""The long poll: clients that wait until a job is ready."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from broker.api.shed import Shed
from broker.encoded import Handed

if TYPE_CHECKING:
    from broker.waiters import Waiters

SLOW_POLL_S = 2.0
"""How often a waiting client looks by itself, should the store's word that a job is ready get lost."""

PAUSE_S = 0.05
"""The least between two looks for jobs of some images, which may be in vain however often a job is new."""


class Polls:
    """Everyone who waits at this broker."""

    def __init__(self, waiters: "Waiters", shed: Shed) -> None:
        self._waiters = waiters
        self._shed = shed
        self._events: set[asyncio.Event] = set()
        self._stopped = False

    async def wait(
        self, take: Callable[[], Awaitable[list[Handed]]], groups: Sequence[str], wait_s: float, pause_s: float = 0
    ) -> list[Handed]:
        """Jobs as soon as `take` gets some, or none after `wait_s` seconds or when the broker stops.

        `pause_s` is the least between two looks.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + wait_s
        with self._waiters.waiting(groups) as ready:
            self._events.add(ready)
            try:
                while not self._stopped:
                    ready.clear()
                    jobs = await take()
                    left_s = end - loop.time()
                    if jobs or left_s <= 0 or self._stopped:
                        return jobs
                    with self._shed.waiting(1):
                        await asyncio.sleep(min(left_s, pause_s))
                        await _set_within(ready, min(left_s, SLOW_POLL_S))
                return []
            finally:
                self._events.discard(ready)

    def stop(self) -> None:
        """Let everyone go with what they have: nothing. Nobody waits any more."""
        self._stopped = True
        for ready in self._events:
            ready.set()


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, which is set when the time is over too; no task is needed, as asyncio.timeout does."""
    timer = asyncio.get_running_loop().call_later(seconds, event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()
