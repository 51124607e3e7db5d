"""The methods of `AsyncClient` about batches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from titan import batches, calls
from titan.attempts import BatchWaiting
from titan.errors import TitanError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from titan.batches import Batch, BatchOrId
    from titan.jobs import Job, Seconds

T = TypeVar("T")


class AsyncBatchMethods:
    """Counts the ends of jobs, and has jobs created when they have ended."""

    async def create_batch(
        self,
        group: str,
        jobs: Iterable[calls.AnyNewJob] = (),
        *,
        name: str = "",
        is_open: bool = False,
        on_failed: calls.AnyNewJob | None = None,
        on_succeeded: calls.AnyNewJob | None = None,
        on_over: calls.AnyNewJob | None = None,
        end_within: Seconds | None = None,
        key: str = "",
    ) -> Batch:
        """Create a batch with these members: `NewJob`s, or dicts of their fields; up to 100,000.

        A callback is a job that is created once: `on_failed` when the first member has failed for good, `on_succeeded`
        when all have succeeded, `on_over` when all have ended. A dict may have `group_name`, another group.
        `is_open`: more members follow, until `close_batch`. `end_within`: what has not ended then is cancelled.
        Each call has up to 1,000 members, and creates all of them or none; after the last one the batch is closed.
        """
        callbacks = {"on_failed": on_failed, "on_succeeded": on_succeeded, "on_over": on_over}
        first, rest = batches.parts(jobs, key)
        is_first_open = is_open or bool(rest)
        batch = await self._do(
            batches.create(group, first, callbacks, name=name, is_open=is_first_open, end_within=end_within, key=key)
        )
        for part, part_key in rest:
            await self._do(batches.add(group, batch, part, None, part_key))
        if not rest:
            return batch
        return await (self.batch(group, batch) if is_open else self.close_batch(group, batch))

    async def add_to_batch(
        self,
        group: str,
        batch: BatchOrId,
        jobs: Iterable[calls.AnyNewJob],
        *,
        member: Job | None = None,
        key: str = "",
    ) -> list[Job]:
        """Add members to an open batch; or as a running `member`, with its lease, to a closed one.

        Raises WrongState if it is closed, and LimitReached for more than 100,000 members.
        """
        first, rest = batches.parts(jobs, key)
        made: list[Job] = []
        for part, part_key in [(first, key), *rest] if first else []:
            added = await self._do(batches.add(group, batch, part, member, part_key))
            made += added
        return made

    async def batch(self, group: str, batch: BatchOrId) -> Batch:
        """The batch as it is now. Raises NotFound."""
        return await self._do(batches.get(group, batch))

    async def wait_for_batch(self, group: str, batch: BatchOrId, *, timeout_s: float | None = None) -> Batch:
        """Wait until the batch has ended and its callbacks exist; the batch.

        One that failed is a result, not an error. Raises TimeoutError after `timeout_s`, and NotFound.
        """
        waiting = BatchWaiting(timeout_s)
        while True:
            try:
                found = await self._do(batches.get(group, batch, waiting.wait_s))
                pause_s = waiting.pause_after_look(found)
            except TitanError as error:
                pause_s = waiting.pause_after_failure(error)
            if pause_s is None:
                return found
            await asyncio.sleep(pause_s)

    async def close_batch(self, group: str, batch: BatchOrId) -> Batch:
        """Add no more members; only running ones may still. A closed one stays as it is."""
        return await self._do(batches.change(group, batch, "close"))

    async def cancel_batch(self, group: str, batch: BatchOrId) -> Batch:
        """Close the batch, and have its unfinished members cancelled; of the callbacks only `on_over` follows.

        Raises WrongState if it has ended.
        """
        return await self._do(batches.change(group, batch, "cancel"))

    async def retry_batch(self, group: str, batch: BatchOrId, *, key: str = "") -> Batch:
        """Create a new batch that repeats the members that failed, and return it.

        Raises WrongState if the batch has not ended, if none failed, or if it was retried already.
        """
        return await self._do(batches.retry(group, batch, key))

    async def batch_jobs(
        self, group: str, batch: BatchOrId, *, statuses: str | Sequence[str] = (), page_size: int = 100
    ) -> AsyncIterator[Job]:
        """All members of a batch by creation; the pages are read as they are needed. `page_size`: 1 to 1,000."""
        cursor, has_more = "", True
        while has_more:
            page = await self._do(batches.members(group, batch, statuses, page_size, cursor))
            for job in page.jobs:
                yield job
            cursor, has_more = page.cursor, page.cursor != ""

    async def _do(self, call: calls.Call[T]) -> T:
        raise NotImplementedError
