"""What jobs leave behind outside of their process groups: daemons, which this process adopts when their parents end.

An orphan belongs to the job in its environment. One that wiped its environment could be any job's that ran when it was
first seen, and is killed when the last of those has ended.
"""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress

from worker.daemon import linux

_LOOK_S = 2.0
_LONGEST_S = 5.0
_AGAIN_S = 0.001


class Orphans:
    """The adopted processes of all running jobs. For a process that has no children but jobs and those it tells of."""

    def __init__(self) -> None:
        self._children: set[int] = set()
        self._running: set[str] = set()
        self._adopted: dict[int, set[str]] = {}
        self._look: asyncio.TimerHandle | None = None

    def started(self, pid: int, delivery: str = "") -> None:
        """This child is no orphan; it runs this delivery of a job, or none."""
        self._children.add(pid)
        if delivery:
            self._running.add(delivery)
            if self._look is None:
                self._look = asyncio.get_running_loop().call_later(_LOOK_S, self._sweep)

    async def ended(self, pid: int, delivery: str = "") -> None:
        """The child was waited for: kill what its job left behind, and all that this leaves behind in turn."""
        self._children.discard(pid)
        self._running.discard(delivery)
        give_up_at = time.monotonic() + _LONGEST_S
        while self._kill_left() and time.monotonic() < give_up_at:  # noqa: ASYNC110 -- nobody says when they are dead
            await asyncio.sleep(_AGAIN_S)

    def _kill_left(self) -> bool:
        """Kill the living orphans whose jobs have all ended; whether there were any."""
        left = self._left()
        for orphan in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(orphan, signal.SIGKILL)
        return bool(left)

    def _left(self) -> list[int]:
        """The living orphans whose jobs have all ended. Dead ones are reaped."""
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
        """Look again now and then, and once after the last job: the system's list may miss one while others end."""
        is_last = not self._running
        self._kill_left()
        loop = asyncio.get_running_loop()
        self._look = None if is_last and not self._adopted else loop.call_later(_LOOK_S, self._sweep)


def delivery_in(environment: Mapping[str, str]) -> str:
    """The delivery that an environment tells of; "" when it tells of none."""
    job_id = environment.get("TITAN_JOB_ID", "")
    return f"{job_id}/{environment.get('TITAN_DELIVERY', '')}" if job_id else ""


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
