"""Takes jobs and reports them, while a thread renews their leases."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from titan import calls
from titan.attempts import PASSING, backoff_s
from titan.errors import Conflict, Invalid, LimitReached, NotFound, TitanError, TooLarge, WrongState
from titan.failing import Fail
from titan.waiting import WaitFor, ids_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from titan.connections import Connections
    from titan.jobs import Job, Seconds
    from titan.waiting import Awaited

T = TypeVar("T")
Do = Callable[[calls.Call[Any]], Any]

_log = logging.getLogger("titan")


class Delivery:
    """A job that this process holds. Its lease is renewed until it is reported.

        with delivery as job:
            send(job.json())

    At the end of the block the job has succeeded. An exception in the block fails the job with the reason `exception`
    and its traceback as the log; it is logged and not raised, so that the next job is taken. `Fail` and `Retry` say how
    the job failed, and `WaitFor` has it wait for other jobs. KeyboardInterrupt and SystemExit give the job back to its
    queue and are raised. `succeed`, `fail`, `release` and `wait_for` report it earlier.
    """

    def __init__(self, job: Job, do: Do, forget: Callable[[Delivery], None]) -> None:
        self.job = job
        self.lost = ""
        """Why the job is no longer held: it was cancelled, its timeout ended, or its lease did. "" while it is held."""
        self._held = (job.group_name, job.id, job.lease)
        self._do = do
        self._forget = forget
        self._is_reported = False

    def __enter__(self) -> Job:
        return self.job

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            self.succeed()
        elif isinstance(error, Fail):
            self._report(calls.fail(*self._held, **calls.failure_of(error)))
        elif isinstance(error, WaitFor):
            self._wait_for(error)
        elif isinstance(error, Exception):
            _log.error("job %s of %s failed", self.job.id, self.job.group_name, exc_info=error)
            self._fail_by(error)
        else:
            self.release()
            return False
        return True

    @property
    def is_held(self) -> bool:
        """Whether the job is still this consumer's. A long function may stop when it is not."""
        return not self.lost and not self._is_reported

    def succeed(self, result: object = None) -> None:
        """Report a success. `result`: what the job made, any JSON; 16 KiB unless the broker has another limit.

        Raises TooLarge for a larger one, and TypeError or ValueError for what is no JSON: the job is still held then.
        """
        self._report(calls.succeed(*self._held, result=result))

    def fail(
        self, reason: str = "", error: str = "", *, retry: bool = True, retry_after: Seconds | None = None
    ) -> None:
        """Report a failure: a word for programs, at most 256 characters, and a text for people, at most 4,096.

        `retry` False: the job is not tried again. `retry_after`: the wait before the next try under a retry policy.
        """
        self._report(calls.fail(*self._held, **calls.failure(reason, error, retry=retry, retry_after=retry_after)))

    def release(self, delay: Seconds = 0) -> None:
        """Give the job back to its queue, after a delay if given. The delivery is not counted."""
        self._report(calls.release(*self._held, delay=delay))

    def wait_for(self, jobs: Awaited, *, after_on: str = "over") -> None:
        """Give the job back until these jobs, at most 100, or their ids, have ended; then it is delivered once more.

        `after_on` "succeeded": when one of them does not succeed, the job is cancelled. Raises WrongState for a job
        that waits for this one, Invalid for one that does not exist, and LimitReached: the job is still held then.
        """
        call = calls.wait_for(*self._held, ids_of(jobs), after_on)
        self._report(call, (Invalid, LimitReached, WrongState))

    def progress(self, percent: int | None = None, note: str = "") -> None:
        """Say how far the job is: 0 to 100 percent, and for people what it does now. It is shown with the job.

        A job that is no longer held is logged, as by a report.
        """
        if not self.is_held:
            return
        try:
            self._do(calls.progress(*self._held, percent=percent, note=note))
        except (Conflict, NotFound) as error:
            self.lost = str(error)
            self._forget(self)

    def write_log(self, text: str) -> None:
        """Store the log of the job in place of an earlier one."""
        self._do(calls.write_log(self.job.group_name, self.job.id, calls.utf8(text).encode(), self.job.lease))

    def _wait_for(self, error: WaitFor) -> None:
        try:
            self.wait_for(error.jobs, after_on=error.after_on)
        except (Invalid, LimitReached, WrongState) as fault:
            _log.error("job %s of %s cannot wait: %s", self.job.id, self.job.group_name, fault)
            self._fail_by(fault)

    def _fail_by(self, error: Exception) -> None:
        if self.is_held:
            try:
                self.write_log("".join(traceback.format_exception(type(error), error, error.__traceback__)))
            except TitanError as fault:
                _log.warning("the log of job %s is not stored: %s", self.job.id, fault)
        self.fail("exception", "".join(traceback.format_exception_only(type(error), error)).strip())

    def _report(self, call: calls.Call[Job], refusals: tuple[type[TitanError], ...] = (Invalid, TooLarge)) -> None:
        """Report the job once. A job that is no longer held is logged: there is nothing to report.

        `refusals`: errors after which nothing was done, so that the job may be reported in another way.
        """
        if self._is_reported:
            return
        self._is_reported = True
        try:
            if not self.lost:
                self._do(call)
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


class Consumer:
    """Jobs as they come: `for delivery in client.consume("mail"):` runs until `stop()` is called.

    As a context manager it gives jobs that were taken and not begun back to their queue. `stop()` may be called by
    another thread or a signal handler: the loop then ends after the job that runs.
    """

    def __init__(self, do: Do, polling: Connections, call: calls.Call[list[Job]], lease_s: int) -> None:
        self._do = do
        self._polling = polling
        self._waiting: deque[Delivery] = deque()
        self._leases = Leases(do, lease_s)
        self._is_stopped = False
        self._call = call

    def __enter__(self) -> Consumer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Delivery]:
        return self

    def __next__(self) -> Delivery:
        """The next job; waits for it. Raises StopIteration after `stop()`."""
        failures = 0
        while not self._waiting and not self._is_stopped:
            failures = self._take(failures)
        if self._is_stopped:
            self.close()
            raise StopIteration
        return self._waiting.popleft()

    def stop(self) -> None:
        """Take no more jobs. A call that waits for jobs ends at once, and takes none."""
        self._is_stopped = True
        self._polling.abort()

    def close(self) -> None:
        """Stop, and release the jobs that were taken and not begun."""
        self.stop()
        while self._waiting:
            self._waiting.popleft().release()
        self._leases.close()

    def __del__(self) -> None:
        """Let the leases of jobs that were not begun end, when the loop was left without `close`."""
        for delivery in self._waiting:
            self._leases.forget(delivery)
        self._leases.close()
        self._polling.close()

    def _take(self, failures: int) -> int:
        """Take jobs, if there are any within a long poll; the number of failures in a row."""
        try:
            jobs = self._call.read(self._polling.send(self._call.request))
        except PASSING as error:
            if not failures and not self._is_stopped:
                _log.warning("no jobs are taken: %s; trying again until it works", error)
            self._pause(backoff_s(failures + 1, error))
            return failures + 1
        for job in jobs:
            delivery = Delivery(job, self._do, self._leases.forget)
            self._leases.keep(delivery)
            self._waiting.append(delivery)
        return 0

    def _pause(self, pause_s: float) -> None:
        """Wait, but not beyond `stop`. A lock would be dangerous here: a signal handler may call `stop` at any time."""
        end = time.monotonic() + pause_s
        while not self._is_stopped and (left_s := end - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.1))


class Leases:
    """Renews the leases of deliveries in a thread of its own, each third of a lease."""

    def __init__(self, do: Do, lease_s: int) -> None:
        self._do = do
        self._pause_s = lease_s / 3
        self._held: dict[str, Delivery] = {}
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def keep(self, delivery: Delivery) -> None:
        """Renew the lease of this delivery until it is forgotten."""
        with self._changed:
            self._held[delivery.job.id] = delivery
            if self._thread is None:
                self._thread = threading.Thread(target=self._renew, name="titan-leases", daemon=True)
                self._thread.start()

    def forget(self, delivery: Delivery) -> None:
        """Renew it no more."""
        with self._changed:
            if self._held.get(delivery.job.id) is delivery:
                del self._held[delivery.job.id]
                self._changed.notify_all()

    def close(self) -> None:
        """End the thread as soon as no delivery is held."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _renew(self) -> None:
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._is_closed and not self._held, self._pause_s):
                    return
                held = list(self._held.values())
            for start in range(0, len(held), calls.MAX_JOBS):
                self._touch(held[start : start + calls.MAX_JOBS])

    def _touch(self, held: Sequence[Delivery]) -> None:
        try:
            outcomes = self._do(calls.touch([calls.held(delivery.job) for delivery in held]))
        except TitanError as error:
            _log.warning("the leases of %d jobs are not renewed: %s", len(held), error)
            return
        for delivery, lost in zip(held, outcomes):
            if lost:
                delivery.lost = lost
                self.forget(delivery)
