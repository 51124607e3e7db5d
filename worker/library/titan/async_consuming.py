"""Takes jobs and reports them in an event loop, while a task renews their leases."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Callable

from titan import calls
from titan.attempts import PASSING, backoff_s
from titan.errors import Conflict, Invalid, LimitReached, NotFound, TitanError, TooLarge, WrongState
from titan.failing import Fail
from titan.waiting import WaitFor, ids_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import TracebackType

    from titan.jobs import Job, Seconds
    from titan.waiting import Awaited

Do = Callable[[calls.Call[Any]], Awaitable[Any]]
Send = Callable[[calls.Request], Awaitable[calls.Answer]]

_log = logging.getLogger("titan")


class AsyncDelivery:
    """A job that this process holds: `async with delivery as job:`. Its lease is renewed until it is reported.

    At the end of the block the job has succeeded. An exception in the block fails the job, is logged and not raised. A
    cancelled task releases the job. `succeed`, `fail`, `release` and `wait_for` report it earlier. See `Delivery`.
    """

    def __init__(self, job: Job, do: Do, forget: Callable[[AsyncDelivery], None]) -> None:
        self.job = job
        self.lost = ""
        """Why the job is no longer held: it was cancelled, its timeout ended, or its lease did. "" while it is held."""
        self._held = (job.group_name, job.id, job.lease)
        self._do = do
        self._forget = forget
        self._is_reported = False

    async def __aenter__(self) -> Job:
        return self.job

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            await self.succeed()
        elif isinstance(error, Fail):
            await self._report(calls.fail(*self._held, **calls.failure_of(error)))
        elif isinstance(error, WaitFor):
            await self._wait_for(error)
        elif isinstance(error, Exception):
            _log.error("job %s of %s failed", self.job.id, self.job.group_name, exc_info=error)
            await self._fail_by(error)
        else:
            await self.release()
            return False
        return True

    @property
    def is_held(self) -> bool:
        """Whether the job is still this consumer's. A long function may stop when it is not."""
        return not self.lost and not self._is_reported

    async def succeed(self, result: object = None) -> None:
        """Report a success. `result`: what the job made, any JSON; 16 KiB unless the broker has another limit.

        Raises TooLarge for a larger one, and TypeError or ValueError for what is no JSON: the job is still held then.
        """
        await self._report(calls.succeed(*self._held, result=result))

    async def fail(
        self, reason: str = "", error: str = "", *, retry: bool = True, retry_after: Seconds | None = None
    ) -> None:
        """Report a failure: a word for programs, at most 256 characters, and a text for people, at most 4,096.

        `retry` False: the job is not tried again. `retry_after`: the wait before the next try under a retry policy.
        """
        await self._report(
            calls.fail(*self._held, **calls.failure(reason, error, retry=retry, retry_after=retry_after))
        )

    async def release(self, delay: Seconds = 0) -> None:
        """Return the job to its queue, after a delay if given. The delivery is not counted."""
        await self._report(calls.release(*self._held, delay=delay))

    async def wait_for(self, jobs: Awaited, *, after_on: str = "over") -> None:
        """Give the job back until these jobs, at most 100, or their ids, have ended; then it is delivered once more.

        `after_on` "succeeded": when one of them does not succeed, the job is cancelled. Raises WrongState for a job
        that waits for this one, Invalid for one that does not exist, and LimitReached: the job is still held then.
        """
        call = calls.wait_for(*self._held, ids_of(jobs), after_on)
        await self._report(call, (Invalid, LimitReached, WrongState))

    async def progress(self, percent: int | None = None, note: str = "") -> None:
        """Say how far the job is: 0 to 100 percent, and for people what it does now. It is shown with the job.

        A job that is no longer held is logged, as by a report.
        """
        if not self.is_held:
            return
        try:
            await self._do(calls.progress(*self._held, percent=percent, note=note))
        except (Conflict, NotFound) as error:
            self.lost = str(error)
            self._forget(self)

    async def write_log(self, text: str) -> None:
        """Store the log of the job in place of an earlier one."""
        await self._do(calls.write_log(self.job.group_name, self.job.id, calls.utf8(text).encode(), self.job.lease))

    async def _wait_for(self, error: WaitFor) -> None:
        try:
            await self.wait_for(error.jobs, after_on=error.after_on)
        except (Invalid, LimitReached, WrongState) as fault:
            _log.error("job %s of %s cannot wait: %s", self.job.id, self.job.group_name, fault)
            await self._fail_by(fault)

    async def _fail_by(self, error: Exception) -> None:
        if self.is_held:
            try:
                await self.write_log("".join(traceback.format_exception(type(error), error, error.__traceback__)))
            except TitanError as fault:
                _log.warning("the log of job %s is not stored: %s", self.job.id, fault)
        await self.fail("exception", "".join(traceback.format_exception_only(type(error), error)).strip())

    async def _report(
        self, call: calls.Call[Job], refusals: tuple[type[TitanError], ...] = (Invalid, TooLarge)
    ) -> None:
        """Report the job once. A job that is no longer held is logged: there is nothing to report.

        `refusals`: errors after which nothing was done, so that the job may be reported in another way.
        """
        if self._is_reported:
            return
        self._is_reported = True
        try:
            if not self.lost:
                await self._do(call)
        except refusals:
            self._is_reported = False
            raise
        except (Conflict, NotFound) as error:
            self.lost = str(error)
        finally:
            if self._is_reported:
                self._forget(self)
        if self.lost:
            _log.warning("job %s of %s is no longer held: %s", self.job.id, self.job.group_name, self.lost)


class AsyncConsumer:
    """Jobs as they come: `async for delivery in client.consume("mail"):` runs until `stop()` is called.

    As an async context manager it releases jobs that were taken and not begun. See `Consumer`.
    """

    def __init__(self, do: Do, send: Send, call: calls.Call[list[Job]], lease_s: int) -> None:
        self._do = do
        self._send = send
        self._call = call
        self._pause_s = lease_s / 3
        self._waiting: deque[AsyncDelivery] = deque()
        self._held: dict[str, AsyncDelivery] = {}
        self._renewal: asyncio.Task[None] | None = None
        self._poll: asyncio.Task[list[Job]] | None = None
        self._is_stopped = False

    async def __aenter__(self) -> AsyncConsumer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[AsyncDelivery]:
        return self

    async def __anext__(self) -> AsyncDelivery:
        """The next job; waits for it. Raises StopAsyncIteration after `stop()`."""
        failures = 0
        while not self._waiting and not self._is_stopped:
            failures = await self._take(failures)
        if self._is_stopped:
            await self.aclose()
            raise StopAsyncIteration
        return self._waiting.popleft()

    def stop(self) -> None:
        """Take no more jobs. A call that waits for jobs ends at once, and takes none."""
        self._is_stopped = True
        if self._poll is not None:
            self._poll.cancel()

    async def aclose(self) -> None:
        """Stop, and release the jobs that were taken and not begun."""
        self.stop()
        while self._waiting:
            await self._waiting.popleft().release()
        self._end_renewal()

    async def _take(self, failures: int) -> int:
        """Take jobs, if there are any within a long poll; the number of failures in a row."""
        self._poll = asyncio.ensure_future(self._next())
        try:
            jobs = await self._poll
        except asyncio.CancelledError:
            if self._poll.cancelled() and self._is_stopped:
                return failures
            raise
        except PASSING as error:
            if not failures:
                _log.warning("no jobs are taken: %s; trying again until it works", error)
            await asyncio.sleep(backoff_s(failures + 1, error))
            return failures + 1
        finally:
            self._poll = None
        for job in jobs:
            self._keep(AsyncDelivery(job, self._do, self._forget))
        return 0

    async def _next(self) -> list[Job]:
        return self._call.read(await self._send(self._call.request))

    def _keep(self, delivery: AsyncDelivery) -> None:
        self._held[delivery.job.id] = delivery
        self._waiting.append(delivery)
        if self._renewal is None:
            self._renewal = asyncio.ensure_future(self._renew())

    def _forget(self, delivery: AsyncDelivery) -> None:
        if self._held.get(delivery.job.id) is delivery:
            del self._held[delivery.job.id]
        if self._is_stopped:
            self._end_renewal()

    def _end_renewal(self) -> None:
        """End the task as soon as no delivery is held."""
        if not self._held and self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._pause_s)
            held = list(self._held.values())
            for start in range(0, len(held), calls.MAX_JOBS):
                await self._touch(held[start : start + calls.MAX_JOBS])

    async def _touch(self, held: Sequence[AsyncDelivery]) -> None:
        try:
            outcomes = await self._do(calls.touch([calls.held(delivery.job) for delivery in held]))
        except TitanError as error:
            _log.warning("the leases of %d jobs are not renewed: %s", len(held), error)
            return
        for delivery, lost in zip(held, outcomes):
            if lost:
                delivery.lost = lost
                self._forget(delivery)
