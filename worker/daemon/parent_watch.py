"""A parent process of the worker: if the worker is killed, everything that it started is killed too.

The parent adopts every orphan below it, so a daemon of a job does not escape it. It forwards signals, and
exits as the worker exits. Each watches the other: a worker without its parent stops at once.

Stop signals that arrive together are forwarded once, and counted in memory that the worker shares: the worker may have
received the same signal itself, and must not take it for a second stop.
"""

import mmap
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from worker.daemon import linux

_FORWARDED = {
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP, signal.SIGUSR1, signal.SIGUSR2,
}  # fmt: skip
_WATCHED = _FORWARDED | {signal.SIGCHLD, signal.SIGCONT}
_STOPS = {signal.SIGTERM, signal.SIGINT}
GATHER_S = 0.1
"""Stop signals within this time are one stop, in s."""
_MAX_STOPS = 255
_LONGEST_S = 10.0
_CHECK_S = 1.0
_PARENT_GONE = 1
_SIGNALLED = 128
_worker_pid = 0
_is_parent_gone = threading.Event()
_stops: mmap.mmap | None = None


def run_below_parent(work: Callable[[], int]) -> int:
    """Do the work below such a parent if the system supports it, else without; its exit code.

    Call it before there are threads or an event loop. The work runs in a child process.
    """
    if not (sys.platform == "linux" and linux.adopt_orphans()):
        return work()
    global _worker_pid, _stops  # noqa: PLW0603 -- facts of the process
    _stops = mmap.mmap(-1, 1)  # shared with the child
    parent_pid = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    child = os.fork()
    if child:
        _watch_worker(child)
    os.setpgid(0, 0)  # Ctrl-C reaches only the parent, which forwards it once
    linux.adopt_orphans()
    _worker_pid = os.getpid()
    threading.Thread(target=_exit_with, args=(parent_pid,), daemon=True).start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return work()


def is_below_parent() -> bool:
    """Whether this process runs below such a parent, and adopts orphans."""
    return _worker_pid == os.getpid()


def stops_forwarded() -> int:
    """How many stops the parent has forwarded to this process; 0 without such a parent."""
    return _stops[0] if _stops is not None else 0


def is_parent_gone() -> bool:
    """Whether the parent is gone: then every job is being killed, and its end says nothing about it."""
    return _is_parent_gone.is_set()


def _exit_with(parent_pid: int) -> None:
    """Wait until the parent is gone, then kill all children and exit. A thread, since a busy job may block the loop."""
    try:
        pidfd = os.pidfd_open(parent_pid)
    except OSError:  # not allowed here, or the parent is gone
        pidfd = -1
    while os.getppid() == parent_pid:
        select.select([pidfd] if pidfd >= 0 else [], [], [], _CHECK_S)
    _is_parent_gone.set()
    _kill_all()
    os._exit(_PARENT_GONE)


def _watch_worker(child: int) -> NoReturn:
    status = _wait(child)
    _kill_all()
    if os.WIFSIGNALED(status):
        _end_by(os.WTERMSIG(status))
        os._exit(_SIGNALLED + os.WTERMSIG(status))  # PID 1 of a container is not killed by a signal
    os._exit(os.waitstatus_to_exitcode(status))


def _wait(child: int) -> int:
    """Forward signals until the child has exited; its status. Adopted orphans that exit are reaped."""
    while True:
        number = signal.sigwait(_WATCHED)
        if number != signal.SIGCHLD:
            if number in _STOPS:
                _collect_stop()
            with suppress(ProcessLookupError):
                os.kill(child, number)
            continue
        while (ended := _reap())[0]:
            if ended[0] == child:
                return ended[1]


def _collect_stop() -> None:
    """Collect the signals of one stop, and count the stop."""
    until = time.monotonic() + GATHER_S
    while (left_s := until - time.monotonic()) > 0:
        signal.sigtimedwait(_STOPS, left_s)
    if _stops is not None:
        _stops[0] = min(_MAX_STOPS, _stops[0] + 1)


def _reap() -> tuple[int, int]:
    """A child that has exited, and its status; 0 if none has."""
    try:
        return os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return 0, 0


def _kill_all() -> None:
    """Kill every child, and their children, which are adopted when they die, until none is left."""
    give_up_at = time.monotonic() + _LONGEST_S
    while (left := linux.children()) and time.monotonic() < give_up_at:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        while _reap()[0]:
            pass
        time.sleep(0.001)


def _end_by(number: int) -> None:
    """End by the same signal, so that the caller sees how the worker ended."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
