"""A small process above the worker: when the worker is killed, everything that it started dies with it.

The keeper is the worker's parent and adopts every orphan below it, so no way of daemonising leads past it. It passes
signals on, and ends as the worker ended. Each watches the other: a worker whose keeper is gone stops at once.

Signals that ask to stop and come together are passed on once, and counted in memory that the worker sees: it may have
got the same signal itself, and must not take that for a second stop.
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

_PASSED_ON = {
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP, signal.SIGUSR1, signal.SIGUSR2,
}  # fmt: skip
_WATCHED = _PASSED_ON | {signal.SIGCHLD, signal.SIGCONT}
_STOPS = {signal.SIGTERM, signal.SIGINT}
GATHER_S = 0.1
"""How long signals that ask to stop are gathered, in s: within that they are one stop, however many send them."""
_MOST_STOPS = 255
_LONGEST_S = 10.0
_LOOK_S = 1.0
_NO_KEEPER = 1
_SIGNALLED = 128
_kept_pid = 0
_is_lost = threading.Event()
_stops: mmap.mmap | None = None


def kept(work: Callable[[], int]) -> int:
    """Do the work below a keeper where the system has what that needs, else without; its exit code.

    To be called before there are threads or an event loop. The work runs in a child process.
    """
    if not (sys.platform == "linux" and linux.adopt_orphans()):
        return work()
    global _kept_pid, _stops  # noqa: PLW0603 -- facts of the process
    _stops = mmap.mmap(-1, 1)  # shared with the child
    keeper = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    child = os.fork()
    if child:
        _keep(child)
    os.setpgid(0, 0)  # a terminal's Ctrl-C reaches the keeper alone, which passes it on: once
    linux.adopt_orphans()
    _kept_pid = os.getpid()
    threading.Thread(target=_end_with, args=(keeper,), daemon=True).start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return work()


def is_below_one() -> bool:
    """Whether this process works below a keeper, and adopts orphans."""
    return _kept_pid == os.getpid()


def stops_passed_on() -> int:
    """How many signals that ask to stop the keeper has passed on to this process; 0 without a keeper."""
    return _stops[0] if _stops is not None else 0


def is_lost() -> bool:
    """Whether the keeper is gone: then every job is being killed, and how one ends says nothing about it."""
    return _is_lost.is_set()


def _end_with(keeper: int) -> None:
    """Wait until the keeper is gone; then kill all children and end. A thread, so that no busy job holds it up."""
    try:
        pidfd = os.pidfd_open(keeper)
    except OSError:  # not allowed here, or the keeper is gone
        pidfd = -1
    while os.getppid() == keeper:
        select.select([pidfd] if pidfd >= 0 else [], [], [], _LOOK_S)
    _is_lost.set()
    _kill_all()
    os._exit(_NO_KEEPER)


def _keep(child: int) -> NoReturn:
    status = _wait(child)
    _kill_all()
    if os.WIFSIGNALED(status):
        _end_by(os.WTERMSIG(status))
        os._exit(_SIGNALLED + os.WTERMSIG(status))  # as the first process of a container, which no signal ends
    os._exit(os.waitstatus_to_exitcode(status))


def _wait(child: int) -> int:
    """Pass signals on until the child has ended; its status. Adopted orphans that end are reaped."""
    while True:
        number = signal.sigwait(_WATCHED)
        if number != signal.SIGCHLD:
            if number in _STOPS:
                _gather()
            with suppress(ProcessLookupError):
                os.kill(child, number)
            continue
        while (ended := _ended())[0]:
            if ended[0] == child:
                return ended[1]


def _gather() -> None:
    """Let signals of the same stop come together, and count it."""
    until = time.monotonic() + GATHER_S
    while (left_s := until - time.monotonic()) > 0:
        signal.sigtimedwait(_STOPS, left_s)
    if _stops is not None:
        _stops[0] = min(_MOST_STOPS, _stops[0] + 1)


def _ended() -> tuple[int, int]:
    """A child that has ended, and its status; 0 when none has."""
    try:
        return os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return 0, 0


def _kill_all() -> None:
    """Kill every child; theirs are adopted when they die, so it goes on until nobody is left."""
    give_up_at = time.monotonic() + _LONGEST_S
    while (left := linux.children()) and time.monotonic() < give_up_at:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        while _ended()[0]:
            pass
        time.sleep(0.001)


def _end_by(number: int) -> None:
    """End by the same signal, so that who looks sees how the worker ended."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
