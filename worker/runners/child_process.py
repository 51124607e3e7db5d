"""A child process with its own process group: starts it, reads its output, and kills it with all that it started.

It does not use asyncio's subprocess, which waits for every holder of the pipe, and reaps the child before its group can
be killed: the number could belong to another process by then.
"""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from worker.jobs.output import Output
from worker.runners.command import Command
from worker.runners.environment import as_bytes
from worker.runners.payload import stdin_of

_READ_BYTES = _PIPE_BYTES = 64 * 1024
_LAST_OUTPUT_S = 0.5
_RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


class Child:
    """One command in a session and process group of its own; stdout and stderr go into one pipe, in order."""

    def __init__(self, command: Command, payload: bytes, output: Output, keep_open: Sequence[int] = ()) -> None:
        """Start it; it inherits the descriptors of `keep_open`. Raises OSError or ValueError if that fails."""
        self._loop = asyncio.get_running_loop()
        self.output = output
        self._exited = asyncio.Event()
        self._output_ended = asyncio.Event()
        self._pipe, other_end = os.pipe()
        try:
            with stdin_of(payload) as stdin:
                self._popen = subprocess.Popen(
                    command.argv,
                    executable=command.executable,
                    stdin=stdin,
                    stdout=other_end,
                    stderr=other_end,
                    env=as_bytes(command.environment),
                    cwd=command.cwd,
                    start_new_session=True,
                    pass_fds=keep_open,
                    **_user_options(command),
                )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(other_end)
        os.set_blocking(self._pipe, False)
        self._loop.add_reader(self._pipe, self._read)
        self._own_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._rusage: resource.struct_rusage
        self._watch()

    @property
    def pid(self) -> int:
        """The number of the command's process, and of its group."""
        return self._popen.pid

    @property
    def returncode(self) -> int:
        """The exit code; the number of the signal below zero."""
        return int(self._popen.returncode)

    @property
    def has_ended(self) -> bool:
        """Whether the command itself has ended."""
        return self._exited.is_set()

    @property
    def used(self) -> tuple[float, int | None]:
        """CPU time in s, and peak memory in bytes, of the command and of the children that it waited for.

        The system counts the memory of the worker at the start too; a peak that is not above that is unknown, None.
        """
        used = self._rusage
        most = used.ru_maxrss * _RSS_UNIT_BYTES if used.ru_maxrss > self._own_rss else None
        return used.ru_utime + used.ru_stime, most

    async def exited(self) -> None:
        """Wait for the end of the command. The rest of its group has been killed by then."""
        await self._exited.wait()

    async def stop(self, kill_after_s: float) -> None:
        """Send TERM to the group, and KILL if the command still runs after `kill_after_s`."""
        self._signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(kill_after_s):
                await self.exited()

    async def close(self) -> None:
        """Kill the group if it still exists, and read the rest of the output."""
        try:
            self._signal(signal.SIGKILL)
            await self.exited()
            self.read_all()
            if not self._output_ended.is_set():  # a process that left the group still holds the pipe
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LAST_OUTPUT_S):
                        await self._output_ended.wait()
        finally:
            self._close_output()

    def read_all(self) -> None:
        """Read the present content of the pipe and no more, however fast a process prints."""
        left = _PIPE_BYTES
        while left > 0 and not self._output_ended.is_set() and (size := self._read()):
            left -= size

    def _signal(self, number: signal.Signals) -> None:
        if not self._exited.is_set():
            _signal_group(self._popen.pid, number)

    def _read(self) -> int:
        try:
            piece = os.read(self._pipe, _READ_BYTES)
        except BlockingIOError:
            return 0
        if piece:
            self.output.write(piece)
        else:
            self._close_output()
        return len(piece)

    def _close_output(self) -> None:
        if not self._output_ended.is_set():
            self._loop.remove_reader(self._pipe)
            os.close(self._pipe)
            self._output_ended.set()

    def _watch(self) -> None:
        try:
            pidfd = os.pidfd_open(self._popen.pid)
        except (AttributeError, OSError):  # not Linux, or not allowed
            threading.Thread(target=self._wait, daemon=True).start()
        else:
            self._loop.add_reader(pidfd, self._on_exit, pidfd)

    def _wait(self) -> None:
        os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._reap)

    def _on_exit(self, pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        self._reap()

    def _reap(self) -> None:
        # The dead child keeps its number until it is waited for, so this cannot hit another group.
        _signal_group(self._popen.pid, signal.SIGKILL)
        _, status, self._rusage = os.wait4(self._popen.pid, 0)
        self._popen.returncode = os.waitstatus_to_exitcode(status)
        self._exited.set()


def _user_options(command: Command) -> dict[str, Any]:
    if command.user is None:
        return {}
    return {"user": command.user.uid, "group": command.user.gid, "extra_groups": command.user.groups}


def _signal_group(number: int, signal_number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(number, signal_number)
