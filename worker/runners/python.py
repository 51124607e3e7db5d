"""The python runner: the image of a job names a @job function. `async def` runs here, `def` in a pool of processes."""

import asyncio
import time
from typing import Any

from broker.models.jobs import Job
from titan.tracing import attached
from worker.jobs.outcome import Failed, Outcome, Released
from worker.jobs.output import Output
from worker.runners.async_calls import Calls, FunctionCall, OwnedTask
from worker.runners.deadlines import DeadlinePassed, Deadlines
from worker.runners.environment import trace_of_job
from worker.runners.function_result import exception_outcome, outcome_of
from worker.runners.pool import Pool
from worker.table import functions
from worker.table.entries import PythonEntry


class PythonRunner:
    """Runs functions. The result is the outcome: None, a text for the log, or an outcome itself.

    `grace_s`: how long an async function may continue when the worker stops, s.
    """

    def __init__(self, pool: Pool, grace_s: float) -> None:
        self._pool = pool
        self._deadlines = Deadlines()
        self._calls = Calls(grace_s)

    async def run(self, entry: PythonEntry, job: Job, log: Output) -> Outcome:
        """Run the function. At the timeout of the job a coroutine is cancelled, and a process of the pool is killed."""
        handler = functions.find(entry.handler)
        if not handler.is_async:
            return await self._pool.run(entry.handler, job, log)
        try:
            with (
                attached(trace_of_job(job)),
                self._deadlines.within(job.timeout),
                self._calls.call(job.timeout) as call,
            ):
                _set_owner(call)
                outcome, text = outcome_of(await functions.call(handler, job, log.progress.say, log.inputs))
        except DeadlinePassed:
            return _timed_out(job)
        except BaseException as error:
            if call.is_interrupted:
                return self._interrupted(call, job)
            if isinstance(error, asyncio.CancelledError) and call.task and call.task.cancelling():
                raise
            outcome, text = exception_outcome(error)
        if call.is_interrupted:
            return self._interrupted(call, job)
        if text:
            log.write(text)
        return outcome

    async def open(self) -> None:
        """Do nothing: it needs no preparation."""

    def abandon(self, task: asyncio.Task[Any]) -> None:
        """Stop a coroutine whose task ignored its cancellation."""
        self._calls.abandon(task)

    async def aclose(self) -> None:
        """Close the pool."""
        self._calls.close()
        await self._pool.aclose()

    def _interrupted(self, call: FunctionCall, job: Job) -> Outcome:
        if call.is_late(time.monotonic()):
            return _timed_out(job, "; it blocked the worker's loop")
        return Released()  # the worker stops


def _set_owner(call: FunctionCall) -> None:
    """Run the function in a task of its own, which it may cancel."""
    if isinstance(call.task, OwnedTask):
        call.task.call = call


def _timed_out(job: Job, how: str = "") -> Failed:
    return Failed("timeout", f"ran longer than its timeout of {job.timeout} s{how}")
