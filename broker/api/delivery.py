"""Handing out jobs so that none is lost when the client goes away.

A client that hangs up cancels its handler. A call of the store that is under way is then not broken off: its jobs are
given back when it answers, and so are jobs whose answer could not be written.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.errors import TitanError
from broker.models import Job

if TYPE_CHECKING:
    from broker.store import Store

_LOG = logging.getLogger(__name__)


class Deliveries:
    """The jobs that are on their way out of this broker."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._tasks: set[asyncio.Task[Any]] = set()

    async def take(self, n: int, groups: Sequence[str], lease_s: int | None, images: Sequence[str]) -> list[Job]:
        """The next jobs; they go back if the client hangs up before the store has answered."""
        taking = self._task(self._store.next(n, groups, lease_s, images))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            self._task(self._give_back_when_taken(taking))
            raise

    async def send(self, request: web.BaseRequest, response: web.Response, jobs: Sequence[Job]) -> web.Response:
        """Write the answer that hands out jobs; they go back if the client is gone before it is written."""
        try:
            await response.prepare(request)
            await response.write_eof()
        except ConnectionError:
            self._task(self._give_back(jobs))
        except asyncio.CancelledError:
            self._task(self._give_back(jobs))
            raise
        return response

    async def settle(self) -> None:
        """Wait until everything that must go back has gone back."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _give_back_when_taken(self, taking: asyncio.Task[list[Job]]) -> None:
        await asyncio.wait([taking])
        if taking.exception() is None:
            await self._give_back(taking.result())

    async def _give_back(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        try:
            await self._store.release_all(jobs)
        except TitanError as error:
            _LOG.warning("%d jobs of a client that hung up come back when their lease ends: %s", len(jobs), error)
