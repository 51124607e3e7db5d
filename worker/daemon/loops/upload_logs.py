"""log: uploads the output of jobs: the first part while they run, the whole after they are finished."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from broker.core.errors import TitanError
from broker.core.states import FINISHED
from worker.client import Client
from worker.daemon.backoff import resend
from worker.daemon.deliveries import Deliveries, Delivery, Event

_AT_ONCE = 4
_WAITING = 256
_TRIES = 6
_LONGEST_S = 600.0
_BEGINNING_S = 30.0
_STREAM_AFTER_S = 2.0
_STREAM_BYTES_S = 256 * 1024
"""Limit for the log of one running job, in bytes a second: each upload sends it from its start."""

_log = logging.getLogger(__name__)


class LogUploads:
    """Uploads in the background, a few at once. A failed upload is repeated, then abandoned; the job stays as it is."""

    def __init__(self, client: Client, on_event: Callable[[Event], None]) -> None:
        self._client = client
        self._on_event = on_event
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: set[asyncio.Task[None]] = set()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def put(self, run: Delivery) -> None:
        """Upload the output of the run, unless it is empty, and close it after that."""
        self._put(run, self._send)

    def put_if_ours(self, run: Delivery) -> None:
        """The same for a job that this worker did not report: only if no later delivery followed."""
        self._put(run, self._send_if_ours)

    async def room(self) -> None:
        """Wait while too many outputs are queued, since each keeps a file open."""
        await self._has_room.wait()

    async def stream(self, runs: Deliveries, every_s: float) -> None:
        """Upload the logs of running jobs as far as they have grown, until cancelled; 0: never."""
        while every_s:
            await asyncio.sleep(every_s)
            now = time.monotonic()
            for run in runs.running:
                is_due = now >= run.send_at and now >= run.started_at + _STREAM_AFTER_S and not run.sending.locked()
                if is_due and run.output.beginning_bytes > run.sent_bytes and len(self._streams) < _AT_ONCE:
                    task = asyncio.create_task(self._send_beginning(run))
                    self._streams.add(task)
                    task.add_done_callback(self._streams.discard)

    async def settled(self) -> None:
        """Wait until every upload has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Abandon all uploads."""
        for task in (*self._tasks, *self._streams):
            task.cancel()
        await self.settled()
        await asyncio.gather(*self._streams, return_exceptions=True)

    def _put(self, run: Delivery, send: Callable[[Delivery], Coroutine[Any, Any, None]]) -> None:
        if run.output.is_empty:
            run.output.close()
            return
        if run.output.trouble:
            lost = run.output.cut_bytes, run.output.trouble
            _log.error("job %s: %d bytes of its output could not be kept here: %s", run.job.id, *lost)
        task = asyncio.create_task(send(run))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, run))
        self._note()

    def _ended(self, run: Delivery, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        run.output.close()
        self._note()

    def _note(self) -> None:
        if len(self._tasks) < _WAITING:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _send(self, run: Delivery) -> None:
        async with self._turn, run.sending:
            try:
                await resend("log", partial(self._upload, run), tries=_TRIES)
            except (TitanError, TimeoutError) as error:
                _log.warning("job %s: its log could not be stored: %.4096r", run.job.id, str(error))
            else:
                self._on_event(Event("logged", run.job))

    async def _upload(self, run: Delivery) -> None:
        async with asyncio.timeout(_LONGEST_S):
            await self._client.log(run.job.group_name, run.job.id, run.output.pieces())

    async def _send_beginning(self, run: Delivery) -> None:
        """Upload the log of a running job so far. After a failure the next upload, or the last one, has everything."""
        job, size_bytes = run.job, run.output.beginning_bytes
        async with run.sending:
            try:
                async with asyncio.timeout(_BEGINNING_S):
                    beginning = run.output.beginning(size_bytes)
                    await self._client.log(job.group_name, job.id, beginning, run.lease, is_more=True)
            except (
                TitanError,
                TimeoutError,
                ValueError,
            ) as error:  # ValueError: the output is closed, since the job was released
                _log.debug("job %s: the beginning of its log was not sent: %s", job.id, error)
            else:
                run.sent_bytes = size_bytes
            run.send_at = time.monotonic() + size_bytes / _STREAM_BYTES_S

    async def _send_if_ours(self, run: Delivery) -> None:
        try:
            job = await self._client.show(run.job.group_name, run.job.id)
        except TitanError:
            return
        if job.status in FINISHED and job.deliveries == run.job.deliveries:
            await self._send(run)
