"""Processes that run Python functions, one job at a time each. A process that ends is replaced."""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

import msgspec

from broker.models.jobs import Job
from worker.jobs.outcome import Failed, Outcome, Released, Succeeded
from worker.jobs.output import Output
from worker.runners.child_process import Child
from worker.runners.command import Command
from worker.runners.exit_status import ending, is_no_room
from worker.runners.orphans import Orphans
from worker.runners.pool_protocol import (
    LENGTH,
    MAX_REPLY_BYTES,
    Reply,
    Request,
    decode_reply,
    encode,
    length_of,
    outcome_of,
)
from worker.runners.result_file import PROGRESS, ReportFile, follow_progress, report_file

_log = logging.getLogger(__name__)


class Pool:
    """Up to `size` processes, started when needed and kept."""

    def __init__(
        self,
        apps: Sequence[str],
        environment: Mapping[str, str],
        size: int,
        kill_after_s: float,
        give_back_s: int = 0,
        orphans: Orphans | None = None,
    ) -> None:
        """`environment`: all variables of the processes; `orphans`: if this process adopts them.

        A job is released for `give_back_s` if the machine cannot start a process.
        """
        self._apps = apps
        self._environment = environment
        self._kill_after_s = kill_after_s
        self._give_back_s = give_back_s
        self._orphans = orphans
        self._free_slots = asyncio.Semaphore(size)
        self._idle: list[_PooledChild] = []

    async def run(self, handler: str, job: Job, log: Output) -> Outcome:
        """Wait for a free process and run the function there, with its output in the log."""
        until = asyncio.get_running_loop().time() + job.timeout
        try:
            async with asyncio.timeout_at(until):
                await self._free_slots.acquire()
        except TimeoutError:
            return _timed_out(job)
        try:
            return await self._run(Request(handler, job, inputs=log.inputs), log, until)
        finally:
            self._free_slots.release()

    async def aclose(self) -> None:
        """End the processes."""
        while self._idle:
            await self._end(self._idle.pop())

    async def _run(self, request: Request, log: Output, until: float) -> Outcome:
        try:
            pooled = await self._free_child(log)
        except OSError as error:
            if not is_no_room(error):
                raise
            _log.warning("job %s: cannot start a process now (%s); released", request.job.id, error.strerror)
            return Released(self._give_back_s)
        is_reusable = False
        try:
            async with asyncio.timeout_at(until):
                reply = await pooled.run(request, log)
            is_reusable = not reply.needs_replacement
            return outcome_of(reply)
        except TimeoutError:
            await pooled.child.stop(self._kill_after_s)
            return _timed_out(request.job)
        except (asyncio.IncompleteReadError, ConnectionError):
            return await pooled.ending(request.job)
        except msgspec.MsgspecError:
            return Failed("worker_error", "the function wrote into the socket of its process")
        finally:
            if is_reusable:
                self._idle.append(pooled)
            else:
                await self._end(pooled)

    async def _free_child(self, log: Output) -> "_PooledChild":
        """An idle process, or a new one. Raises OSError if none can be started."""
        while self._idle:
            pooled = self._idle.pop()
            if not pooled.child.has_ended:
                return pooled
            await self._end(pooled)
        return self._start(log)

    def _start(self, log: Output) -> "_PooledChild":
        own_socket, child_socket = socket.socketpair()
        with child_socket:
            argv = (sys.executable, "-m", "worker.runners.pool_child", str(child_socket.fileno()), *self._apps)
            files = ExitStack()
            progress = files.enter_context(report_file(None, "titan-progress-"))
            environment = {"PYTHONPATH": os.pathsep.join(sys.path), **self._environment}
            environment |= {PROGRESS: progress.path} if progress.path else {}
            command = Command(argv, sys.executable, environment, None, None, None)
            try:
                child = Child(command, b"", log, keep_open=(child_socket.fileno(),))
            except BaseException:
                files.close()
                raise
        if self._orphans:
            self._orphans.started(child.pid)
        return _PooledChild(child, own_socket, progress, files)

    async def _end(self, pooled: "_PooledChild") -> None:
        await pooled.close()
        if self._orphans:
            await self._orphans.ended(pooled.child.pid)


class _PooledChild:
    """One process, and the socket for its requests."""

    def __init__(self, child: Child, own_socket: socket.socket, progress: ReportFile, files: ExitStack) -> None:
        self.child = child
        self._progress = progress
        self._files = files
        self._socket = own_socket
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, request: Request, log: Output) -> Reply:
        """Carry out the request in the process.

        Raises IncompleteReadError or ConnectionError if the process ends, MsgspecError for an invalid reply.
        """
        self.child.output = log
        with suppress(OSError):
            os.truncate(self._progress.path, 0)
        follow_progress(log.progress, self._progress)
        try:
            return await self._ask(request)
        finally:
            log.progress.unsent()  # what it said last; the file is for the next job now
            log.progress.read = None

    async def _ask(self, request: Request) -> Reply:
        reader, writer = self._streams = self._streams or await asyncio.open_connection(sock=self._socket)
        writer.write(encode(msgspec.structs.replace(request, progress_path=self._progress.path)))
        await writer.drain()
        size = length_of(await reader.readexactly(LENGTH.size))
        if size > MAX_REPLY_BYTES:
            raise msgspec.DecodeError("too long for a reply")
        reply = decode_reply(await reader.readexactly(size))
        self.child.read_all()
        return reply

    async def ending(self, job: Job) -> Outcome:
        """The outcome for the end of the process: never a success, whatever its exit code."""
        await self.child.exited()
        outcome = ending(self.child, job)
        return Failed("bad_exit", "its process ended", outcome.usage) if isinstance(outcome, Succeeded) else outcome

    async def close(self) -> None:
        """Kill the process, with its group."""
        self._files.close()
        if self._streams:
            self._streams[1].close()
        else:
            self._socket.close()
        await self.child.close()


def _timed_out(job: Job) -> Failed:
    return Failed("timeout", f"ran longer than its timeout of {job.timeout} s")
