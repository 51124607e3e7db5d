"""The python runner: a job's image names a @job function. `async def` runs here, `def` in a pool of processes."""

import traceback

from broker.models.jobs import Job
from worker import handlers
from worker.entries import PythonEntry
from worker.outcome import Failed, Outcome
from worker.output import Output
from worker.runners.deadlines import DeadlinePassed, Deadlines
from worker.runners.pool import Pool


class PythonRunner:
    """Runs handlers. What one returns is its outcome: None, a text for the log, or an outcome itself."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._deadlines = Deadlines()

    async def run(self, entry: PythonEntry, job: Job, log: Output) -> Outcome:
        """Run the handler. At the job's timeout a coroutine is cancelled, and a process of the pool is ended."""
        handler = handlers.find(entry.handler)
        if not handler.is_async:
            return await self._pool.run(entry.handler, job, log)
        try:
            with self._deadlines.within(job.timeout):
                result = await handlers.called(handler, job)
        except DeadlinePassed:
            return Failed("timeout", f"ran longer than its timeout of {job.timeout} s")
        except Exception as error:  # noqa: BLE001 -- the handler's own, whatever it is
            log.write("".join(traceback.format_exception(error)).encode(errors="replace"))
            return handlers.failed(error)
        outcome, text = handlers.outcome(result)
        if text:
            log.write(text.encode(errors="replace"))
        return outcome

    async def open(self) -> None:
        """Nothing is made ready."""

    async def aclose(self) -> None:
        """End the pool."""
        await self._pool.aclose()
