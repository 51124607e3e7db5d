"""Waits for the ends of jobs.

No script knows of those who wait. A broker asks for the executions of all jobs that its clients wait for with one
HMGET for each partition (each 1,000 jobs), five times a second. Ends that pass through this broker wake them at once.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import UNSET, Raw

from broker.core.errors import TitanError
from broker.core.inline_task import run_inline
from broker.core.states import FINISHED, Status
from broker.core.timestamps import rfc3339
from broker.models.jobs import Job
from broker.resp import keys
from broker.resp.partitions import Partitions

LOOK_S = 0.2
"""How often a broker asks for the jobs that its clients wait for, in s."""
MOST_IDS, _MOST_COMMANDS = 1000, 32
"""The most jobs in one command, and commands in one call."""
_FINISHED = {status.encode(): status for status in FINISHED}


class JobEnd(NamedTuple):
    """What this broker knows of the end of a job. completed_at: ms."""

    status: Status
    completed_at: int | None = None
    reason: str = ""
    error: str = ""
    result: bytes = b""

    def of(self, job: Job) -> Job:
        """The job as it was last seen, with this end."""
        return msgspec.structs.replace(
            job,
            status=self.status,
            expires_at=UNSET,
            completed_at=rfc3339(self.completed_at) if self.completed_at else UNSET,
            reason=self.reason or UNSET,
            error=self.error or UNSET,
            result=Raw(self.result) if self.result else UNSET,
        )


def end_of(status: str, words: Sequence[Any]) -> JobEnd:
    """The end in a report, as finish.lua takes it. The time of the store is not known."""
    _, _, reason, error, _, _, _, _, result = (*words, *[""] * 9)[:9]
    return JobEnd(cast("Status", status), None, reason, error, result or b"")


class Waiter:
    """One client that waits for jobs, by id. It is woken when one of them has ended or may be gone."""

    def __init__(self) -> None:
        self.changed: set[str] = set()
        """Jobs of which something is to be read: it removes them itself."""
        self.ends: dict[str, JobEnd] = {}
        self._woken: asyncio.Future[None] | None = None
        self.is_gone = False
        """Whether the client has its answer, or is gone."""

    async def until(self, end: float) -> bool:
        """Wait until something changed, or until `end` by the clock of the loop; whether something changed."""
        loop = asyncio.get_running_loop()
        left_s = end - loop.time()
        if self.changed or left_s <= 0 or self.is_gone:
            return bool(self.changed) and not self.is_gone
        woken = self._woken = loop.create_future()
        timer = loop.call_later(left_s, self.wake)
        try:
            await woken
        finally:
            timer.cancel()
            self._woken = None
        return bool(self.changed) and not self.is_gone

    def leave(self) -> None:
        """The client has its answer, or is gone: `until` waits no more."""
        self.is_gone = True
        self.wake()

    def wake(self) -> None:
        """JobEnd `until` now."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)


class Ends:
    """All clients of this broker that wait for the ends of jobs."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions
        self._waiters: dict[str, dict[str, set[Waiter]]] = {name: {} for name in partitions.names}
        """By partition and id."""
        self._seen: dict[str, bytes | None] = {}
        """The execution that was read last, of each job that is waited for."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.is_stopped = False

    @property
    def is_awaited(self) -> bool:
        """Whether a client waits."""
        return bool(self._timers)

    @property
    def n_jobs(self) -> int:
        """How many jobs are waited for."""
        return sum(map(len, self._waiters.values()))

    @contextmanager
    def waiting(self, jobs: Sequence[tuple[str, str]]) -> Iterator[Waiter]:
        """Inside the block a client waits for these jobs: group and id. Nothing is left of it afterwards."""
        waiter, places = Waiter(), [(self._partitions.of(group), job_id) for group, job_id in jobs]
        for partition, job_id in places:
            self._waiters[partition].setdefault(job_id, set()).add(waiter)
            if partition not in self._timers:
                self._look_later(partition)
        try:
            yield waiter
        finally:
            for partition, job_id in places:
                self._remove(partition, job_id, waiter)
            waiter.leave()

    def ended(self, group: str, job_id: str, end: JobEnd) -> None:
        """A job of the group has ended at this broker: wake those who wait for it."""
        self._wake(self._partitions.of(group), job_id, end)

    def stop(self) -> None:
        """Wake everybody, and let nobody wait any more."""
        self.is_stopped = True
        for waiters in self._waiters.values():
            for waiter in {one for some in waiters.values() for one in some}:
                waiter.wake()

    def _remove(self, partition: str, job_id: str, waiter: Waiter) -> None:
        waiters = self._waiters[partition]
        waiters.get(job_id, set()).discard(waiter)
        if not waiters.get(job_id):
            waiters.pop(job_id, None)
            self._seen.pop(job_id, None)
        if not waiters and (timer := self._timers.pop(partition, None)):
            timer.cancel()

    def _wake(self, partition: str, job_id: str, end: JobEnd | None) -> None:
        for waiter in self._waiters[partition].get(job_id, ()):
            if end is not None:
                waiter.ends.setdefault(job_id, end)
            waiter.changed.add(job_id)
            waiter.wake()

    def _look_later(self, partition: str) -> None:
        self._timers[partition] = asyncio.get_running_loop().call_later(LOOK_S, self._look, partition)

    def _look(self, partition: str) -> None:
        run_inline(self._read(partition), partial(self._looked, partition, self._timers[partition]))

    def _looked(self, partition: str, timer: asyncio.TimerHandle, _: None, fault: BaseException | None) -> None:
        """Look again while somebody waits. A partition that does not answer is asked again."""
        if self._timers.get(partition) is timer:  # else nobody waited for a moment, and a new timer runs
            self._look_later(partition)
        if fault is not None and not isinstance(fault, TitanError | asyncio.CancelledError):
            raise fault

    async def _read(self, partition: str) -> None:
        ids, key = list(self._waiters[partition]), keys.executions(partition)
        commands = [("HMGET", key, *ids[i : i + MOST_IDS]) for i in range(0, len(ids), MOST_IDS)]
        for first in range(0, len(commands), _MOST_COMMANDS):
            some = commands[first : first + _MOST_COMMANDS]
            for words, texts in zip(some, await self._partitions.read(partition, some), strict=True):
                self._compare(partition, words[2:], texts)

    def _compare(self, partition: str, ids: Sequence[str], texts: Sequence[bytes | None]) -> None:
        waiters, seen = self._waiters[partition], self._seen
        for job_id, text in zip(ids, texts, strict=True):
            before = seen.get(job_id)
            if text == before or job_id not in waiters:
                continue
            seen[job_id] = text
            if text is None:  # it was released, or is gone
                self._wake(partition, job_id, None)
            elif end := _end_in(text):
                self._wake(partition, job_id, end)


def _end_in(execution: bytes) -> JobEnd | None:
    """The end in an execution; None if the job has not ended."""
    words: list[Any] = execution.rsplit(b" ", 2)
    status = _FINISHED.get(words[1]) if len(words) == 3 else None
    return None if status is None else JobEnd(status, int(words[2]))
