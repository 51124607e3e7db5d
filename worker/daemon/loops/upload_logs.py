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
from worker.daemon.backoff import Outage, resend
from worker.daemon.deliveries import Deliveries, Delivery, Event

_MAX_UPLOADS = 4
_MAX_QUEUED = 256
_TRIES = 6
_UPLOAD_S = 600.0
_BEGINNING_S = 30.0
_STREAM_AFTER_S = 2.0
_STREAM_BYTES_S = 256 * 1024
"""Limit for the log of one running job, in bytes a second: each upload sends it from its start."""

_log = logging.getLogger(__name__)


class LogUploads:
    """Uploads in the background, a few at once. A failed upload is repeated, then abandoned; the job stays as it is."""

    def __init__(self, client: Client, on_event: Callable[[Event], None], outage: Outage | None = None) -> None:
        self._client = client
        self._on_event = on_event
        self._outage = outage
        self._free_slots = asyncio.Semaphore(_MAX_UPLOADS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: set[asyncio.Task[None]] = set()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def put(self, delivery: Delivery) -> None:
        """Upload the output of the run, unless it is empty, and close it after that."""
        self._put(delivery, self._send)

    def put_if_last_delivery(self, delivery: Delivery) -> None:
        """The same for a job that this worker did not report: only if no later delivery followed."""
        self._put(delivery, self._send_if_last_delivery)

    async def wait_for_room(self) -> None:
        """Wait while too many outputs are queued, since each keeps a file open."""
        await self._has_room.wait()

    async def stream(self, deliveries: Deliveries, every_s: float) -> None:
        """Upload the logs of running jobs as far as they have grown, until cancelled; 0: never."""
        while every_s:
            await asyncio.sleep(every_s)
            now = time.monotonic()
            for delivery in deliveries.running:
                is_due = (
                    now >= delivery.log_due_at
                    and now >= delivery.started_at + _STREAM_AFTER_S
                    and not delivery.log_lock.locked()
                )
                if (
                    is_due
                    and delivery.output.beginning_bytes > delivery.log_sent_bytes
                    and len(self._streams) < _MAX_UPLOADS
                ):
                    task = asyncio.create_task(self._send_beginning(delivery))
                    self._streams.add(task)
                    task.add_done_callback(self._streams.discard)

    async def wait_until_sent(self) -> None:
        """Wait until every upload has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Abandon all uploads."""
        for task in (*self._tasks, *self._streams):
            task.cancel()
        await self.wait_until_sent()
        await asyncio.gather(*self._streams, return_exceptions=True)

    def _put(self, delivery: Delivery, send: Callable[[Delivery], Coroutine[Any, Any, None]]) -> None:
        if delivery.output.is_empty:
            delivery.output.close()
            return
        if delivery.output.write_error:
            lost = delivery.output.cut_bytes, delivery.output.write_error
            _log.error("job %s: %d bytes of its output could not be kept here: %s", delivery.job.id, *lost)
        task = asyncio.create_task(send(delivery))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, delivery))
        self._update_room()

    def _ended(self, delivery: Delivery, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        delivery.output.close()
        self._update_room()

    def _update_room(self) -> None:
        if len(self._tasks) < _MAX_QUEUED:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _send(self, delivery: Delivery) -> None:
        async with self._free_slots, delivery.log_lock:
            try:
                await resend("uploading a log", partial(self._upload, delivery), _TRIES, self._outage)
            except (TitanError, TimeoutError) as error:
                _log.warning("job %s: its log could not be stored: %.4096r", delivery.job.id, str(error))
            else:
                self._on_event(Event("logged", delivery.job))

    async def _upload(self, delivery: Delivery) -> None:
        async with asyncio.timeout(_UPLOAD_S):
            await self._client.log(delivery.job.group_name, delivery.job.id, delivery.output.pieces())

    async def _send_beginning(self, delivery: Delivery) -> None:
        """Upload the log of a running job so far. After a failure the next upload, or the last one, has everything."""
        job, size_bytes = delivery.job, delivery.output.beginning_bytes
        async with delivery.log_lock:
            try:
                async with asyncio.timeout(_BEGINNING_S):
                    beginning = delivery.output.beginning(size_bytes)
                    await self._client.log(job.group_name, job.id, beginning, delivery.lease, is_more=True)
            except (TitanError, TimeoutError, ValueError) as error:  # ValueError: the job was released, so it is closed
                _log.debug("job %s: the beginning of its log was not sent: %s", job.id, error)
            else:
                delivery.log_sent_bytes = size_bytes
            delivery.log_due_at = time.monotonic() + size_bytes / _STREAM_BYTES_S

    async def _send_if_last_delivery(self, delivery: Delivery) -> None:
        try:
            job = await self._client.show(delivery.job.group_name, delivery.job.id)
        except TitanError:
            return
        # A job that was released, or that waited, has the same number in its next delivery, which began later.
        is_last = (job.deliveries, job.started_at) == (delivery.job.deliveries, delivery.job.started_at)
        if job.status in FINISHED and is_last:
            await self._send(delivery)
