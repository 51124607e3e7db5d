"""The container runner: runs the image of a job with Docker, Podman or another server of Docker's Engine API."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import aiohttp
from aiodocker import DockerError
from aiodocker.containers import DockerContainer
from aiodocker.stream import Stream

from broker.models.jobs import Job
from worker.jobs.outcome import Failed, Outcome, Released, Succeeded, Usage
from worker.jobs.output import Output
from worker.jobs.texts import MAX_ERROR, class_name, clipped, error_text, safe_text
from worker.runners.aiodocker_private import close_stdin, mark_closed
from worker.runners.container_config import config_of
from worker.runners.container_files import add_files, result_in
from worker.runners.container_progress import following
from worker.runners.engine import Engine
from worker.runners.exit_status import bad_exit
from worker.runners.results import JobResult
from worker.table.entries import ContainerEntry

_LAST_OUTPUT_S = 2.0
_REMOVAL_S = 30.0
_ANSWER_S = 5.0
_NO_ENGINE = 900
"""The status that aiodocker reports if it cannot connect."""
_ENGINE_ERRORS = (DockerError, aiohttp.ClientError, OSError)
"""Exceptions of the client; a TimeoutError is an OSError."""
_PIECE_BYTES = 64 * 1024
_SIGNALLED = 128
"""An engine reports a signal as exit code 128 plus its number."""
_SIGNALS = frozenset(int(number) for number in signal.Signals)

_log = logging.getLogger(__name__)


class ContainerRunner:
    """Runs containers: the payload goes to stdin, stdout and stderr to the log. The container is always removed."""

    def __init__(self, engine: Engine, *, kill_after_s: float, give_back_s: int) -> None:
        self._engine = engine
        self._kill_after_s = kill_after_s
        self._give_back_s = give_back_s

    async def run(self, entry: ContainerEntry, job: Job, log: Output) -> Outcome:
        """Run a container of the job's image. The timeout includes the pull. Without an engine the job is released."""
        until = asyncio.get_running_loop().time() + job.timeout
        try:
            async with asyncio.timeout_at(until) as limit:
                await self._engine.open()
                await self._engine.pull(job.image, entry.pull, log)
                container = await self._engine.create(config_of(entry, job))
        except _ENGINE_ERRORS as error:
            return _timed_out(job) if limit.expired() else self._not_started(job, error)
        return await self._run(container, entry, job, log, until)

    async def open(self) -> None:
        """Remove containers of dead workers. Without an engine a later job tries again."""
        try:
            await self._engine.open()
        except _ENGINE_ERRORS as error:
            _log.warning("no container engine: %s", error or type(error).__name__)

    def abandon(self, task: asyncio.Task[Any]) -> None:
        """Do nothing: the run removes its container as soon as it can."""

    async def aclose(self) -> None:
        """Close the connections."""
        await self._engine.close()

    async def _run(
        self, container: DockerContainer, entry: ContainerEntry, job: Job, log: Output, until: float
    ) -> Outcome:
        has_started = False
        limit = asyncio.timeout_at(until)
        try:
            if entry.reports:
                await add_files(container, log.inputs)
            followed = following(container, log.progress) if entry.reports else nullcontext()
            async with _attached(container) as stream, _streaming(stream, job, log), followed:
                try:
                    async with limit:
                        await container.start()
                        has_started = True
                        await container.wait()
                except TimeoutError:
                    if not limit.expired():
                        raise
                    await self._stop(container, job)
                    return _timed_out(job)
            return await self._with_result(
                container, entry, job, ending((await container.show())["State"], entry, job, log)
            )
        except _ENGINE_ERRORS as error:
            return _engine_failure(error) if has_started else self._not_started(job, error)
        finally:
            await self._remove(container, job)

    async def _with_result(
        self, container: DockerContainer, entry: ContainerEntry, job: Job, outcome: Outcome
    ) -> Outcome:
        """The outcome; that of a success with its result. An engine that cannot read it does not change the success."""
        if not entry.reports or not isinstance(outcome, Succeeded):
            return outcome
        try:
            async with asyncio.timeout(_ANSWER_S):
                result = await result_in(container)
        except _ENGINE_ERRORS as error:
            _log.warning("job %s: its result cannot be read: %s", job.id, safe_text(error) or class_name(error))
            result = JobResult(note=f"no result: the engine could not read it: {class_name(error)}")
        return Succeeded(outcome.usage, *result)

    def _not_started(self, job: Job, error: Exception) -> Outcome:
        """The outcome for an error of the engine: a refusal fails the job, a missing engine releases it."""
        if isinstance(error, DockerError) and error.status != _NO_ENGINE:
            message = f"cannot run a container of {job.image!r}: {safe_text(error.message)}"
            return Failed("not_started", clipped(message, MAX_ERROR))
        _log.warning("job %s: no container engine (%s); released", job.id, safe_text(error) or class_name(error))
        return Released(self._give_back_s)

    async def _stop(self, container: DockerContainer, job: Job) -> None:
        """Send TERM, and KILL later. It does not wait for an engine that does not answer: removal kills too."""
        try:
            async with asyncio.timeout(self._kill_after_s + _ANSWER_S):
                await container.stop(t=round(self._kill_after_s))
        except _ENGINE_ERRORS as error:
            _log.warning("job %s: its container did not stop: %s", job.id, safe_text(error) or class_name(error))

    async def _remove(self, container: DockerContainer, job: Job) -> None:
        """Kill and remove the container. If that fails, the next start of a worker does it."""
        try:
            async with asyncio.timeout(_REMOVAL_S):
                await container.delete(force=True, v=True)
        except _ENGINE_ERRORS as error:
            _log.warning("job %s: its container is not removed: %s", job.id, error)


def ending(state: Mapping[str, Any], entry: ContainerEntry, job: Job, log: Output) -> Outcome:
    """The outcome for the State of a container that has ended; `log` has its output."""
    code = int(state["ExitCode"])
    if state.get("OOMKilled"):
        return Failed("killed", f"out of memory: it had {entry.memory_bytes} bytes", Usage(exit_code=code))
    if code == 0:
        return Succeeded(Usage(exit_code=0))
    if code - _SIGNALLED in _SIGNALS:
        name = signal.Signals(code - _SIGNALLED).name
        return Failed("killed", f"killed by {name}", Usage(signal=name))
    return bad_exit(code, log, job, Usage(exit_code=code))


@asynccontextmanager
async def _attached(container: DockerContainer) -> AsyncIterator[Stream]:
    stream = container.attach(stdin=True, stdout=True, stderr=True)
    try:
        async with stream:
            yield stream
    finally:
        mark_closed(stream)


@asynccontextmanager
async def _streaming(stream: Stream, job: Job, log: Output) -> AsyncIterator[None]:
    """Write the payload and read the output inside the block, and the last output after it."""
    reading = asyncio.create_task(_read(stream, log))
    writing = asyncio.create_task(_write_payload(stream, (job.payload or "").encode()))
    try:
        yield
        await asyncio.wait([reading], timeout=_LAST_OUTPUT_S)
    finally:
        reading.cancel()
        writing.cancel()
        await asyncio.gather(reading, writing, return_exceptions=True)


async def _read(stream: Stream, log: Output) -> None:
    while message := await stream.read_out():
        log.write(message.data)


async def _write_payload(stream: Stream, payload: bytes) -> None:
    """Write the payload and close only that direction: the output continues."""
    for first in range(0, len(payload), _PIECE_BYTES):
        await stream.write_in(payload[first : first + _PIECE_BYTES])
    close_stdin(stream)


def _engine_failure(error: Exception) -> Failed:
    message = safe_text(error.message) if isinstance(error, DockerError) else error_text(error)
    return Failed("worker_error", clipped(f"the container engine failed while it ran: {message}", MAX_ERROR))


def _timed_out(job: Job) -> Failed:
    return Failed("timeout", f"ran longer than its timeout of {job.timeout} s")
