"""When a call is sent again, and how long to wait before: for `Client` and `AsyncClient`."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from titan.calls import Call
from titan.errors import (
    BrokerUnavailable,
    BrokerUnreachable,
    Invalid,
    LimitReached,
    NotDurable,
    NotFound,
    Overloaded,
    Stopping,
    StoreFull,
    StoreUnavailable,
    TitanError,
    TooSlow,
    Unavailable,
)
from titan.jobs import Job

if TYPE_CHECKING:
    from titan.batches import Batch

NOTHING_DONE = (BrokerUnreachable, Overloaded, Stopping, LimitReached, StoreFull)
"""Errors after which any call may be sent again: it was not carried out."""
PERHAPS_DONE = (BrokerUnavailable, StoreUnavailable, NotDurable, TooSlow)
"""Errors after which only a call may be sent again that changes nothing when it is carried out twice."""
PASSING = (Unavailable, LimitReached, TooSlow)
"""Errors that end without a change of the request."""

_FIRST_S, _LONGEST_S = 0.2, 5.0
_WAIT_S = 20
_LOG_S = 5.0
"""How long to wait for the log of a finished job, s."""


class Attempts:
    """The attempts at one call: `retries` after the first one, with waits that double from 0.2 s up to 5 s."""

    def __init__(self, call: Call[Any], retries: int) -> None:
        self._call = call
        self._left = retries
        self._failures = 0
        self._was_perhaps_done = False

    def is_done(self, error: TitanError) -> bool:
        """Whether the error means that an earlier attempt was carried out."""
        return self._was_perhaps_done and isinstance(error, self._call.done)

    def pause_s(self, error: TitanError) -> float:
        """How long to wait before the next attempt, s. Raises the error if there is no other attempt."""
        is_undone = isinstance(error, NOTHING_DONE)
        is_perhaps_done = not is_undone and isinstance(error, PERHAPS_DONE)
        if self._left <= 0 or not (is_undone or (is_perhaps_done and self._call.may_repeat)):
            raise error
        self._left -= 1
        self._failures += 1
        self._was_perhaps_done |= is_perhaps_done
        return backoff_s(self._failures, error)


def backoff_s(failures: int, error: TitanError, first_s: float = _FIRST_S, most_s: float = _LONGEST_S) -> float:
    """How long to wait after this many failures in a row, s; never shorter than the broker asks for.

    It doubles from `first_s` up to `most_s`, with jitter.
    """
    longest_s = min(most_s, first_s * 2.0 ** min(failures - 1, 16))
    return (error.retry_after_s or 0) + random.uniform(longest_s / 2, longest_s)  # noqa: S311 -- no secret


class Waiting:
    """What `wait` waits for: the end of a job, or of the last job that retries it.

    The broker waits for the end, 20 s in each call. A broker that is older knows no wait: then it asks with growing
    intervals, from 0.05 s up to 2 s. While the broker is away it continues, once it has answered.
    """

    _what = "job"

    def __init__(self, job_id: str, timeout_s: float | None, *, follow_retries: bool) -> None:
        self.job_id = job_id
        self._last = ""
        self._follows = follow_retries
        self._timeout_s = timeout_s
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._pause_s = 0.05
        self._failures = 0
        self._may_wait = True

    @property
    def wait_s(self) -> int:
        """How long the broker may wait in the next call, s."""
        if not self._may_wait:
            return 0
        left_s = _WAIT_S if self._deadline is None else self._deadline - time.monotonic()
        return max(0, min(_WAIT_S, int(left_s)))

    @property
    def left_s(self) -> float | None:
        """How much of the timeout is left, s; None without one."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def pause_after(self, job: Job) -> float | None:
        """How long to wait before the next look, s; None: this job is the result. Raises TimeoutError."""
        self._last, self._failures = job.status, 0
        if self._follows and job.status == "failed" and job.retried_by:
            self.job_id = job.retried_by
            self._pause_s = 0.05
            return self._within(0.0)
        if job.is_finished:
            return None
        if not self._may_wait:
            self._pause_s = min(self._pause_s * 1.5, 2.0)
        return self._within(self._pause_s)

    def pause_after_failure(self, error: TitanError) -> float:
        """The same after an error. Raises the error if it does not pass, or if the broker has never answered."""
        if self._may_wait and isinstance(error, Invalid) and error.fields == "wait":
            self._may_wait = False
            return 0.0
        if not self._last or not isinstance(error, PASSING):
            raise error
        self._failures += 1
        return self._within(backoff_s(self._failures, error))

    def _within(self, pause_s: float) -> float:
        """The pause, shortened to the deadline. Raises TimeoutError after the deadline."""
        if self._deadline is None:
            return pause_s
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            status = f"; it is {self._last}" if self._last else ""
            raise TimeoutError(f"The {self._what} {self.job_id} did not finish within {self._timeout_s:g} s{status}.")
        return min(pause_s, left_s)


class BatchWaiting(Waiting):
    """What `wait_for_batch` waits for: the end of a batch. The broker waits for it as for that of a job."""

    _what = "batch"

    def __init__(self, timeout_s: float | None) -> None:
        super().__init__("", timeout_s, follow_retries=False)

    def pause_after_look(self, batch: Batch) -> float | None:
        """How long to wait before the next look, s; None: the batch has ended. Raises TimeoutError."""
        self.job_id, self._last, self._failures = batch.id, batch.state, 0
        return None if batch.has_ended else self._within(self._pause_s)


class LogWaiting:
    """Waits for a log that is still on its way: a worker reports a job first, and uploads its log after that."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + _LOG_S
        self._pause_s = 0.05

    def pause_after(self, missing: NotFound, job: Job) -> float:
        """How long to wait before the next look, s. Raises `missing` if the job has no output, or not soon."""
        last = job.receipts[-1] if job.receipts else {}
        if not job.is_finished or not last.get("log_bytes") or time.monotonic() >= self._deadline:
            raise missing
        self._pause_s = min(self._pause_s * 1.5, 0.5)
        return self._pause_s
