"""The process runner: the image of a job names a command of the table."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from broker.models.jobs import Job
from worker.jobs.outcome import Failed, Outcome, Released
from worker.jobs.output import Output
from worker.jobs.texts import MAX_ERROR, clipped, plain
from worker.runners.child_process import Child
from worker.runners.command import command_of
from worker.runners.exit_status import ending, is_no_room, usage
from worker.runners.orphans import Orphans, delivery_in
from worker.runners.payload import payload_file
from worker.runners.refusal import Refusal
from worker.runners.timer_wheel import DeadlinePassed, Deadlines
from worker.table.entries import Limits, ProcessEntry

_NONE = Limits()

_log = logging.getLogger(__name__)


class ProcessRunner:
    """Runs commands without a shell, in a process group that is killed as a whole, with processes that left it."""

    def __init__(
        self, passed_on: Mapping[str, str], *, kill_after_s: float, give_back_s: int, orphans: Orphans | None = None
    ) -> None:
        """`orphans`: if this process adopts them."""
        self._passed_on = passed_on
        self._kill_after_s = kill_after_s
        self._give_back_s = give_back_s
        self._orphans = orphans
        self._deadlines = Deadlines()

    async def run(self, entry: ProcessEntry, job: Job, log: Output) -> Outcome:
        """Run the command of the entry."""
        with ExitStack() as files:
            try:
                refusal = files.enter_context(Refusal()) if entry.limits != _NONE else None
                child = self._start(entry, job, log, files, refusal)
            except (OSError, ValueError) as error:
                return self._not_started(entry, job, error)
            try:
                return await self._end(child, entry, job, refusal)
            finally:
                await self._close(child, job)

    async def open(self) -> None:
        """Do nothing: it needs no preparation."""

    def abandon(self, task: asyncio.Task[Any]) -> None:
        """Do nothing: the run kills its processes as soon as it can."""

    async def aclose(self) -> None:
        """Do nothing: it keeps nothing between jobs."""

    def _start(self, entry: ProcessEntry, job: Job, log: Output, files: ExitStack, refusal: Refusal | None) -> Child:
        shared = [refusal.descriptor] if refusal else []
        command = command_of(entry, job, self._passed_on, *(shared or [-1]))
        payload = (job.payload or "").encode()
        if entry.payload == "file":
            path = files.enter_context(payload_file(payload, command.owner_uid))
            command.environment["TITAN_PAYLOAD_FILE"] = path
            payload = b""
        child = Child(command, payload, log, keep_open=shared)
        if refusal:
            refusal.started()
        if self._orphans:
            self._orphans.started(child.pid, _delivery(job))
        return child

    async def _end(self, child: Child, entry: ProcessEntry, job: Job, refusal: Refusal | None) -> Outcome:
        try:
            with self._deadlines.within(job.timeout):
                await child.exited()
        except DeadlinePassed:
            await child.stop(self._kill_after_s)
            await child.close()
            return Failed("timeout", f"ran longer than its timeout of {job.timeout} s", usage(child))
        if refusal and (said := refusal.said()):
            return Failed("not_started", clipped(plain(said), MAX_ERROR), usage(child))
        return ending(child, entry.limits.cpu_s)

    async def _close(self, child: Child, job: Job) -> None:
        """Kill the remaining processes, also when this is cancelled meanwhile."""
        try:
            await child.close()
        finally:
            if self._orphans:
                await self._orphans.ended(child.pid, _delivery(job))

    def _not_started(self, entry: ProcessEntry, job: Job, error: OSError | ValueError) -> Outcome:
        said = error.strerror if isinstance(error, OSError) else str(error)
        if is_no_room(error):
            _log.warning("job %s: cannot start a process now (%s); released", job.id, said)
            return Released(self._give_back_s)
        return Failed(
            "not_started", clipped(f"cannot run {plain(entry.argv[0])!r}: {plain(said or str(error))}", MAX_ERROR)
        )


def _delivery(job: Job) -> str:
    return delivery_in({"TITAN_JOB_ID": job.id, "TITAN_DELIVERY": str(job.deliveries)})
