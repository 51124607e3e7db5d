"""The process runner: the image of a job names a command of the table."""

import asyncio
import logging
import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Self

from broker.models.jobs import Job
from worker.jobs.outcome import Failed, Outcome, Released, Succeeded
from worker.jobs.output import Output
from worker.jobs.texts import MAX_ERROR, clipped, utf8_text
from worker.runners.child_process import Child
from worker.runners.command import command_of
from worker.runners.deadlines import DeadlinePassed, Deadlines
from worker.runners.exit_status import ending, is_no_room, usage
from worker.runners.orphans import Orphans, delivery_in
from worker.runners.payload import payload_file
from worker.runners.result_file import INPUTS, PROGRESS, RESULT, ReportFile, follow_progress, report_file, result_in
from worker.table.entries import Limits, ProcessEntry

_NONE = Limits()
_MAX_MESSAGE_BYTES = 4096

_log = logging.getLogger(__name__)


class StartErrorPipe:
    """The pipe on which a shim reports why it cannot start the command; a context manager.

    Starting the command closes the pipe. `descriptor` is the end of the shim.
    """

    def __enter__(self) -> Self:
        self._read_end, self.descriptor = os.pipe()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._read_end)
        self.started()

    def started(self) -> None:
        """Close the end of the shim here, after it was inherited."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def message(self) -> str:
        """The report of the shim, after it has ended; "" if it started the command."""
        return os.read(self._read_end, _MAX_MESSAGE_BYTES).decode(errors="replace")


class ProcessRunner:
    """Runs commands without a shell, in a process group that is killed as a whole, with processes that left it."""

    def __init__(
        self, inherited: Mapping[str, str], *, kill_after_s: float, give_back_s: int, orphans: Orphans | None = None
    ) -> None:
        """`orphans`: if this process adopts them."""
        self._inherited = inherited
        self._kill_after_s = kill_after_s
        self._give_back_s = give_back_s
        self._orphans = orphans
        self._deadlines = Deadlines()

    async def run(self, entry: ProcessEntry, job: Job, log: Output) -> Outcome:
        """Run the command of the entry."""
        with ExitStack() as files:
            try:
                error_pipe = files.enter_context(StartErrorPipe()) if entry.limits != _NONE else None
                child, result = self._start(entry, job, log, files, error_pipe)
            except (OSError, ValueError) as error:
                return self._not_started(entry, job, error)
            try:
                return _with_result(await self._end(child, entry, job, error_pipe), result)
            finally:
                await self._close(child, job)

    async def open(self) -> None:
        """Do nothing: it needs no preparation."""

    def abandon(self, task: asyncio.Task[Any]) -> None:
        """Do nothing: the run kills its processes as soon as it can."""

    async def aclose(self) -> None:
        """Do nothing: it keeps nothing between jobs."""

    def _start(
        self, entry: ProcessEntry, job: Job, log: Output, files: ExitStack, error_pipe: StartErrorPipe | None
    ) -> tuple[Child, ReportFile]:
        shared = [error_pipe.descriptor] if error_pipe else []
        command = command_of(entry, job, self._inherited, *(shared or [-1]))
        payload = (job.payload or "").encode()
        if entry.payload == "file":
            path = files.enter_context(payload_file(payload, command.owner_uid))
            command.environment["TITAN_PAYLOAD_FILE"] = path
            payload = b""
        if log.inputs:
            path = files.enter_context(payload_file(log.inputs, command.owner_uid, "inputs"))
            command.environment[INPUTS] = path
        result = files.enter_context(report_file(command.owner_uid, "titan-result-"))
        progress = files.enter_context(report_file(command.owner_uid, "titan-progress-"))
        paths = {RESULT: result.path, PROGRESS: progress.path}
        command.environment.update({name: path for name, path in paths.items() if path})
        follow_progress(log.progress, progress)
        child = Child(command, payload, log, keep_open=shared)
        if error_pipe:
            error_pipe.started()
        if self._orphans:
            self._orphans.started(child.pid, _delivery(job))
        return child, result

    async def _end(self, child: Child, entry: ProcessEntry, job: Job, error_pipe: StartErrorPipe | None) -> Outcome:
        try:
            with self._deadlines.within(job.timeout):
                await child.exited()
        except DeadlinePassed:
            await child.stop(self._kill_after_s)
            await child.close()
            return Failed("timeout", f"ran longer than its timeout of {job.timeout} s", usage(child))
        if error_pipe and (message := error_pipe.message()):
            return Failed("not_started", clipped(utf8_text(message), MAX_ERROR), usage(child))
        child.read_all()  # the error has the last line
        return ending(child, job, entry.limits.cpu_s)

    async def _close(self, child: Child, job: Job) -> None:
        """Kill the remaining processes, also when this is cancelled meanwhile."""
        try:
            await child.close()
        finally:
            if self._orphans:
                await self._orphans.ended(child.pid, _delivery(job))

    def _not_started(self, entry: ProcessEntry, job: Job, error: OSError | ValueError) -> Outcome:
        message = error.strerror if isinstance(error, OSError) else str(error)
        if is_no_room(error):
            _log.warning("job %s: cannot start a process now (%s); released", job.id, message)
            return Released(self._give_back_s)
        return Failed(
            "not_started",
            clipped(f"cannot run {utf8_text(entry.argv[0])!r}: {utf8_text(message or str(error))}", MAX_ERROR),
        )


def _with_result(outcome: Outcome, file: ReportFile) -> Outcome:
    """The outcome of a command; that of a success with its result."""
    return Succeeded(outcome.usage, *result_in(file)) if isinstance(outcome, Succeeded) else outcome


def _delivery(job: Job) -> str:
    return delivery_in({"TITAN_JOB_ID": job.id, "TITAN_DELIVERY": str(job.deliveries)})
