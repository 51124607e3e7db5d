"""The outcome for the end of a process, and for an error at its start."""

import errno
import os
import signal

from broker.models.jobs import Job
from worker.jobs.outcome import Failed, Succeeded, Usage
from worker.jobs.output import Output
from worker.jobs.retry_after import wait_in
from worker.jobs.texts import clipped
from worker.runners.child_process import Child

_NO_ROOM = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""Errors at the start of a process that are caused by the machine and not by the job."""

MAX_LINE = 300
"""Characters of the last line of the output that an error has."""


def is_no_room(error: Exception) -> bool:
    """Whether a process could not start because the machine lacked resources."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def bad_exit(code: int, output: Output, job: Job, used: Usage) -> Failed:
    """The outcome of a command or container that ended with this exit code, which is not 0.

    Two codes mean more for a job with a retry policy of its own. 65 (EX_DATAERR): the payload is wrong, so it is not
    tried again. 75 (EX_TEMPFAIL): it is worth another try; the reason is `temporary`, and a last line of the output
    such as `Retry-After: 30` is the wait.
    """
    error = exit_text(code, output)
    if job.retry and code == os.EX_DATAERR:
        return Failed("bad_exit", error, used, retry=False)
    if job.retry and code == os.EX_TEMPFAIL:
        return Failed("temporary", error, used, retry_after_s=wait_in(output.last_line))
    return Failed("bad_exit", error, used)


def ending(child: Child, job: Job, cpu_limit_s: int | None = None) -> Succeeded | Failed:
    """The outcome of a command that has exited, or was killed by a signal."""
    returncode, used = child.returncode, usage(child)
    if returncode == 0:
        return Succeeded(used)
    if returncode > 0:
        return bad_exit(returncode, child.output, job, used)
    why = f": used more than its {cpu_limit_s} s of CPU" if used.signal == "SIGXCPU" and cpu_limit_s else ""
    return Failed("killed", f"killed by {used.signal}{why}", used)


def exit_text(code: int, output: Output) -> str:
    """The error of a command that failed: its exit code, and what it said last, which is why in most cases."""
    last = output.last_line
    return f"exit code {code}: {clipped(last, MAX_LINE)}" if last else f"exit code {code}"


def usage(child: Child) -> Usage:
    """The resources that a finished command used."""
    code, (cpu_s, max_rss_bytes) = child.returncode, child.used
    exit_code, number = (None, _signal_name(-code)) if code < 0 else (code, None)
    return Usage(exit_code=exit_code, signal=number, max_rss_bytes=max_rss_bytes, cpu_s=cpu_s)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
