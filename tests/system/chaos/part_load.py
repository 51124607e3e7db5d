"""What the parts of the load have in common: each produces until it is judged, and reads lists whole."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from tests.system.chaos.ledger import Answer

_PAGE = 1000

Ask = Callable[..., Awaitable[Answer]]
Found = list[dict[str, Any]]


class PartLoad(ABC):
    """Produces until it is judged; others take and end its jobs. `lease_s`: of each job."""

    def __init__(self, ask_until_told: Ask, lease_s: int, seed: int) -> None:
        self._ask = ask_until_told
        self._lease_s = lease_s
        self._random = random.Random(seed)
        self._is_last = False
        self._acknowledged: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Begin to produce."""
        self._task = asyncio.create_task(self._produce())
        return self._task

    def stop(self) -> None:
        """Produce no more."""
        self._is_last = True

    @abstractmethod
    async def _produce(self) -> None:
        """Produce until `_is_last`."""

    async def _until(self, limit_s: float, is_over: Callable[[], Awaitable[bool]]) -> None:
        """Produce no more, and ask until all is over or the time has passed."""
        assert self._task is not None
        self._is_last = True
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._task
                while not await is_over():
                    pass


async def all_of(ask: Ask, group: str, what: str) -> Found:
    """All `jobs` or `batches` of a group; none if there is no such group."""
    found: Found = []
    cursor, is_more = "", True
    while is_more:
        answer = await ask("GET", f"/v1/groups/{group}/{what}?n={_PAGE}&cursor={cursor}", group=group)
        page = answer.told if answer.status == 200 else {what: []}
        found += page[what]
        cursor = page.get("cursor", "")
        is_more = bool(cursor)
    return found
