"""log: send in what jobs printed, once they are finished and their slots free."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from broker.errors import TitanError
from broker.states import FINISHED
from worker.backoff import resend
from worker.client import Client
from worker.runs import Event, Run

_AT_ONCE = 4
_WAITING = 256
_TRIES = 6
_LONGEST_S = 600.0

_logger = logging.getLogger(__name__)


class LogUploads:
    """Uploads in the background, a few at once. One that fails is tried again, then given up: its job is as it was."""

    def __init__(self, client: Client, on_event: Callable[[Event], None]) -> None:
        self._client = client
        self._on_event = on_event
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def put(self, run: Run) -> None:
        """Send the run's output, unless there is none; the output is closed when that is over."""
        self._put(run, self._send)

    def put_if_ours(self, run: Run) -> None:
        """The same for a job that ended without this worker's report: only if no other delivery came after."""
        self._put(run, self._send_if_ours)

    async def room(self) -> None:
        """Wait until there are not too many outputs in line, each of which holds a file."""
        await self._has_room.wait()

    async def settled(self) -> None:
        """Wait until everything put so far is sent or given up."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Give up what is not sent."""
        for task in self._tasks:
            task.cancel()
        await self.settled()

    def _put(self, run: Run, send: Callable[[Run], Coroutine[Any, Any, None]]) -> None:
        if run.output.is_empty:
            run.output.close()
            return
        task = asyncio.create_task(send(run))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, run))
        self._note()

    def _ended(self, run: Run, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        run.output.close()
        self._note()

    def _note(self) -> None:
        if len(self._tasks) < _WAITING:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _send(self, run: Run) -> None:
        async with self._turn:
            try:
                await resend("log", partial(self._upload, run), tries=_TRIES)
            except (TitanError, TimeoutError) as error:
                _logger.warning("job %s: its log could not be stored: %.4096r", run.job.id, str(error))
            else:
                self._on_event(Event("logged", run.job))

    async def _upload(self, run: Run) -> None:
        async with asyncio.timeout(_LONGEST_S):
            await self._client.log(run.job.group_name, run.job.id, run.output.pieces())

    async def _send_if_ours(self, run: Run) -> None:
        try:
            job = await self._client.show(run.job.group_name, run.job.id)
        except TitanError:
            return
        if job.status in FINISHED and job.deliveries == run.job.deliveries:
            await self._send(run)
