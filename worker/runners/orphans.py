"""Kills processes that left the process group of their job: daemons, which this process adopts when their parents end.

An orphan belongs to the job in its environment. One without that variable may belong to any job that was running when
it was first seen, and is killed when the last of these has ended.
"""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress

from worker.daemon import linux

_CHECK_S = 2.0
_LONGEST_S = 5.0
_AGAIN_S = 0.001


class Orphans:
    """The adopted processes of all running jobs. Other children of this process must be named with `started`."""

    def __init__(self) -> None:
        self._children: set[int] = set()
        self._running: set[str] = set()
        self._adopted: dict[int, set[str]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def started(self, pid: int, delivery: str = "") -> None:
        """Note that this child is no orphan; it runs this delivery of a job, or none."""
        self._children.add(pid)
        if delivery:
            self._running.add(delivery)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(_CHECK_S, self._sweep)

    async def ended(self, pid: int, delivery: str = "") -> None:
        """The child has been reaped: kill the orphans of its job, and the orphans of these."""
        self._children.discard(pid)
        self._running.discard(delivery)
        give_up_at = time.monotonic() + _LONGEST_S
        while self._kill_left() and time.monotonic() < give_up_at:  # noqa: ASYNC110 -- there is no notification of their end
            await asyncio.sleep(_AGAIN_S)

    def _kill_left(self) -> bool:
        """Kill the living orphans of finished jobs; whether there were any."""
        left = self._killable()
        for orphan in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(orphan, signal.SIGKILL)
        return bool(left)

    def _killable(self) -> list[int]:
        """The living orphans of finished jobs. Dead ones are reaped."""
        adopted = {}
        for pid in linux.adopted() - self._children:
            if not _reaped(pid):
                adopted[pid] = (self._adopted.get(pid) or self._suspects(pid)) & self._running
        self._adopted = adopted
        return [pid for pid, jobs in adopted.items() if not jobs]

    def _suspects(self, pid: int) -> set[str]:
        delivery = delivery_in(linux.variables(pid))
        return {delivery} if delivery else set(self._running)

    def _sweep(self) -> None:
        """Check again from time to time, and after the last job: the system may omit one while others exit."""
        is_last = not self._running
        self._kill_left()
        loop = asyncio.get_running_loop()
        self._timer = None if is_last and not self._adopted else loop.call_later(_CHECK_S, self._sweep)


def delivery_in(environment: Mapping[str, str]) -> str:
    """The delivery that an environment names; "" if it names none."""
    job_id = environment.get("TITAN_JOB_ID", "")
    return f"{job_id}/{environment.get('TITAN_DELIVERY', '')}" if job_id else ""


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
