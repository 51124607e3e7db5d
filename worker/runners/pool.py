"""Processes that run Python functions, one job at a time each. One that dies, or is ended, is started anew."""

import asyncio
import os
import socket
import sys
from collections.abc import Mapping, Sequence

from broker.models.jobs import Job
from worker.outcome import Failed, Outcome, Succeeded
from worker.output import Output
from worker.runners.child import Child
from worker.runners.command import Command
from worker.runners.endings import ending
from worker.runners.exchange import HEAD, Request, length_of, outcome_in, packed
from worker.runners.orphans import Orphans


class Pool:
    """Up to `size` processes, started when they are needed and kept."""

    def __init__(
        self,
        apps: Sequence[str],
        environment: Mapping[str, str],
        size: int,
        kill_after_s: float,
        orphans: Orphans | None = None,
    ) -> None:
        """`environment` is all that the processes have; `orphans` where this process adopts them."""
        self._apps = apps
        self._environment = environment
        self._kill_after_s = kill_after_s
        self._orphans = orphans
        self._turn = asyncio.Semaphore(size)
        self._idle: list[_Member] = []

    async def run(self, handler: str, job: Job, log: Output) -> Outcome:
        """Wait for a free process and run the handler there. What it prints goes into the log."""
        until = asyncio.get_running_loop().time() + job.timeout
        try:
            async with asyncio.timeout_at(until):
                await self._turn.acquire()
        except TimeoutError:
            return _timed_out(job)
        try:
            return await self._run(Request(handler, job), log, until)
        finally:
            self._turn.release()

    async def aclose(self) -> None:
        """End the processes."""
        while self._idle:
            await self._end(self._idle.pop())

    async def _run(self, request: Request, log: Output, until: float) -> Outcome:
        member = self._idle.pop() if self._idle else self._start(log)
        is_well = False
        try:
            async with asyncio.timeout_at(until):
                outcome = await member.run(request, log)
            is_well = True
        except TimeoutError:
            await member.child.stop(self._kill_after_s)
            return _timed_out(request.job)
        except (asyncio.IncompleteReadError, ConnectionError):
            return await member.ending()
        finally:
            if is_well:
                self._idle.append(member)
            else:
                await self._end(member)
        return outcome

    def _start(self, log: Output) -> "_Member":
        ours, theirs = socket.socketpair()
        with theirs:
            argv = (sys.executable, "-m", "worker.runners.pooled", str(theirs.fileno()), *self._apps)
            environment = {"PYTHONPATH": os.pathsep.join(sys.path), **self._environment}
            command = Command(argv, sys.executable, environment, None, None, None)
            child = Child(command, b"", log, keep_open=(theirs.fileno(),))
        if self._orphans:
            self._orphans.started(child.pid)
        return _Member(child, ours)

    async def _end(self, member: "_Member") -> None:
        await member.close()
        if self._orphans:
            await self._orphans.ended(member.child.pid)


class _Member:
    """One process, and the socket on which it takes requests."""

    def __init__(self, child: Child, ours: socket.socket) -> None:
        self.child = child
        self._socket = ours
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, request: Request, log: Output) -> Outcome:
        """Have the request carried out. Raises IncompleteReadError or ConnectionError when the process ends over it."""
        self.child.output = log
        reader, writer = self._streams = self._streams or await asyncio.open_connection(sock=self._socket)
        writer.write(packed(request))
        await writer.drain()
        reply = await reader.readexactly(length_of(await reader.readexactly(HEAD.size)))
        self.child.read_all()
        return outcome_in(reply)

    async def ending(self) -> Outcome:
        """What the end of the process stands for: never a success, whatever its exit code."""
        await self.child.exited()
        outcome = ending(self.child)
        return Failed("bad_exit", "its process ended", outcome.usage) if isinstance(outcome, Succeeded) else outcome

    async def close(self) -> None:
        """Kill the process, with its group."""
        if self._streams:
            self._streams[1].close()
        else:
            self._socket.close()
        await self.child.close()


def _timed_out(job: Job) -> Failed:
    return Failed("timeout", f"ran longer than its timeout of {job.timeout} s")
