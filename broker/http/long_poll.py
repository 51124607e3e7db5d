"""The long poll: clients that wait until a job is ready."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from broker.core.inline_task import run_inline
from broker.http.server.admission import AdmissionControl
from broker.store.format.job_json import EncodedDelivery

if TYPE_CHECKING:
    from broker.resp.notifier import Notifier

Take = Callable[[], Coroutine[Any, Any, list[EncodedDelivery]]]

SLOW_POLL_S = 2.0
"""How often a waiting client looks by itself, should the store's word that a job is ready get lost."""

PAUSE_S = 0.05
"""The least between two looks for jobs of some images, which may be in vain however often a job is new."""


class LongPolls:
    """Everyone who waits at this broker. `give_back` requeues jobs whose client was gone."""

    def __init__(
        self, notifier: "Notifier", admission: AdmissionControl, give_back: Callable[[Sequence[EncodedDelivery]], None]
    ) -> None:
        self._notifier = notifier
        self._poll = partial(_Poll, admission, give_back)
        self._polls: set[_Poll] = set()
        self._is_stopped = False

    async def wait(self, take: Take, groups: Sequence[str], wait_s: float, pause_s: float = 0) -> list[EncodedDelivery]:
        """Jobs as soon as `take` gets some, or none after `wait_s` seconds or when the broker stops.

        `pause_s` is the least between two looks.
        """
        if self._is_stopped:
            return []
        poll = self._poll(take, wait_s, pause_s)
        self._polls.add(poll)
        try:
            with self._notifier.waiting(groups, poll.look):
                poll.look()
                return await poll.jobs
        finally:
            poll.leave()
            self._polls.discard(poll)

    def stop(self) -> None:
        """Let everyone go with what they have: nothing. Nobody waits any more."""
        self._is_stopped = True
        for poll in list(self._polls):
            poll.stop()


class _Poll:
    """One client that waits for `jobs`.

    It looks within `look` itself and not in a turn of the loop to come: what it asks the store for leaves together with
    the enqueue that woke it.
    """

    def __init__(
        self,
        admission: AdmissionControl,
        give_back: Callable[[Sequence[EncodedDelivery]], None],
        take: Take,
        wait_s: float,
        pause_s: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.jobs: asyncio.Future[list[EncodedDelivery]] = self._loop.create_future()
        self._admission = admission
        self._give_back = give_back
        self._take = take
        self._end = self._loop.time() + wait_s
        self._pause_s = pause_s
        self._looking: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_busy = self._is_woken = self._is_waiting = self._is_stopped = False

    def look(self) -> None:
        """Look for jobs: now, or again as soon as it may."""
        if self._is_busy:
            self._is_woken = True
            return
        self._stop_waiting()
        self._is_busy, self._is_woken = True, False
        self._looking = run_inline(self._take(), self._looked)

    def stop(self) -> None:
        """Answer: with nothing, or what the look that is under way gets."""
        self._is_stopped = True
        if self._is_waiting and not self.jobs.done():
            self.jobs.set_result([])

    def leave(self) -> None:
        """The client has its answer, or is gone."""
        self._stop_waiting()
        if self._looking is not None:
            self._looking.cancel()

    def _looked(self, jobs: list[EncodedDelivery] | None, fault: BaseException | None) -> None:
        self._looking = None
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
                self._timer = self._loop.call_later(min(left_s, self._pause_s), self._rested)
            else:
                self._rested()

    def _rested(self) -> None:
        self._is_busy = False
        if self._is_woken:
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
            self._admission.go_on(1)
