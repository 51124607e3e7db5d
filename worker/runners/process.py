"""The process runner: a job's image names a command of the worker's table."""

import asyncio
import errno
import logging
import shutil
import signal
from collections.abc import Mapping

from broker.models import Job
from worker.outcome import Failed, Outcome, Released, Succeeded
from worker.output import Output
from worker.runners.child import Child
from worker.runners.environment import environment_of
from worker.table import Argv

_NO_ROOM = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""Errors at the start of a process that are this machine's trouble and not the job's."""

_logger = logging.getLogger(__name__)


class ProcessRunner:
    """Runs commands: argv and never a shell, the payload on stdin, in a process group that is killed as a whole."""

    def __init__(
        self, table: Mapping[str, Argv], passed_on: Mapping[str, str], *, kill_after_s: float, give_back_s: int
    ) -> None:
        self._table = table
        self._passed_on = passed_on
        self._kill_after_s = kill_after_s
        self._give_back_s = give_back_s
        self._unknown: set[str] = set()

    async def run(self, job: Job, log: Output) -> Outcome:
        """Run the job's command. An image that is not in the table is given back, for a worker that has it."""
        argv = self._table.get(job.image)
        if argv is None:
            return self._cannot_run(job)
        try:
            child = self._start(argv, job, log)
        except (OSError, ValueError) as error:
            return self._not_started(argv, job, error)
        try:
            async with asyncio.timeout(job.timeout):
                await child.exited()
        except TimeoutError:
            await child.stop(self._kill_after_s)
            return Failed("timeout", f"ran longer than its timeout of {job.timeout} s")
        finally:
            await child.close()
        return _outcome(child.returncode)

    def _cannot_run(self, job: Job) -> Released:
        if job.image not in self._unknown:
            self._unknown.add(job.image)
            _logger.warning(
                "job %s: no --run entry for image %.255r; such jobs are given back for %d s (said once)",
                job.id, job.image, self._give_back_s,
            )  # fmt: skip
        return Released(self._give_back_s)

    def _start(self, argv: Argv, job: Job, log: Output) -> Child:
        path = self._passed_on.get("PATH")
        executable = shutil.which(argv[0], path=path) or argv[0]
        return Child(argv, executable, environment_of(job, self._passed_on), (job.payload or "").encode(), log)

    def _not_started(self, argv: Argv, job: Job, error: OSError | ValueError) -> Outcome:
        said = error.strerror if isinstance(error, OSError) else str(error)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            _logger.warning("job %s: no room to start a process (%s); given back", job.id, said)
            return Released(self._give_back_s)
        return Failed("bad_exit", f"cannot run {argv[0]!r}: {said}")


def _outcome(returncode: int) -> Outcome:
    if returncode == 0:
        return Succeeded()
    if returncode > 0:
        return Failed("bad_exit", f"exit code {returncode}")
    return Failed("killed", f"killed by {_signal_name(-returncode)}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
