"""Long polls: calls of `next` that wait until a job is ready."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from broker.core.inline_task import run_inline
from broker.http.server.admission import AdmissionControl
from broker.store.format.job_json import EncodedDelivery

if TYPE_CHECKING:
    from broker.resp.notifier import Notifier

Dequeue = Callable[[], Coroutine[Any, Any, list[EncodedDelivery]]]

SLOW_POLL_S = 2.0
"""How often a poll calls `next` without a notification, because a notification can get lost."""

PAUSE_S = 0.05
"""The least time between two calls for jobs of some images: a notification does not mean that such a job exists."""


class LongPolls:
    """All long polls of this broker. `give_back` requeues jobs whose client is gone."""

    def __init__(
        self, notifier: "Notifier", admission: AdmissionControl, give_back: Callable[[Sequence[EncodedDelivery]], None]
    ) -> None:
        self._notifier = notifier
        self._poll = partial(_Poll, admission, give_back)
        self._polls: set[_Poll] = set()
        self._is_stopped = False

    async def wait(
        self, dequeue: Dequeue, groups: Sequence[str], wait_s: float, pause_s: float = 0
    ) -> list[EncodedDelivery]:
        """Jobs as soon as `dequeue` returns some, or none after `wait_s` seconds or when the broker stops.

        `pause_s` is the least time between two calls of `dequeue`.
        """
        if self._is_stopped:
            return []
        poll = self._poll(dequeue, wait_s, pause_s)
        self._polls.add(poll)
        try:
            with self._notifier.waiting(groups, poll.look):
                poll.look()
                return await poll.jobs
        finally:
            poll.leave()
            self._polls.discard(poll)

    def stop(self) -> None:
        """Answer all polls without jobs, and let no later one wait."""
        self._is_stopped = True
        for poll in list(self._polls):
            poll.stop()


class _Poll:
    """One client that waits for `jobs`.

    `look` calls the store directly and not in a later iteration of the event loop, so the call follows the enqueue that
    woke it at once.
    """

    def __init__(
        self,
        admission: AdmissionControl,
        give_back: Callable[[Sequence[EncodedDelivery]], None],
        dequeue: Dequeue,
        wait_s: float,
        pause_s: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.jobs: asyncio.Future[list[EncodedDelivery]] = self._loop.create_future()
        self._admission = admission
        self._give_back = give_back
        self._dequeue = dequeue
        self._end = self._loop.time() + wait_s
        self._pause_s = pause_s
        self._call: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_busy = self._is_notified = self._is_waiting = self._is_stopped = False

    def look(self) -> None:
        """Call `dequeue`: now, or after the current call and pause."""
        if self._is_busy:
            self._is_notified = True
            return
        self._stop_waiting()
        self._is_busy, self._is_notified = True, False
        self._call = run_inline(self._dequeue(), self._call_ended)

    def stop(self) -> None:
        """Answer without jobs, or with those of the call in progress."""
        self._is_stopped = True
        if self._is_waiting and not self.jobs.done():
            self.jobs.set_result([])

    def leave(self) -> None:
        """The client has its response, or is gone."""
        self._stop_waiting()
        if self._call is not None:
            self._call.cancel()

    def _call_ended(self, jobs: list[EncodedDelivery] | None, fault: BaseException | None) -> None:
        self._call = None
        left_s = self._end - self._loop.time()
        if self.jobs.done():
            if jobs:
                self._give_back(jobs)
        elif jobs is None:
            self.jobs.set_exception(fault or asyncio.CancelledError())
        elif jobs or left_s <= 0 or self._is_stopped:
            self.jobs.set_result(jobs)
        else:
            self._is_waiting = True
            self._admission.pause(1)
            if self._pause_s:
                self._timer = self._loop.call_later(min(left_s, self._pause_s), self._pause_ended)
            else:
                self._pause_ended()

    def _pause_ended(self) -> None:
        self._is_busy = False
        if self._is_notified:
            self.look()
        else:
            left_s = self._end - self._loop.time()
            self._timer = self._loop.call_later(min(left_s, SLOW_POLL_S), self.look)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_waiting:
            self._is_waiting = False
            self._admission.resume(1)
