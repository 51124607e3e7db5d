"""finish: reports outcomes, several in one call; releases jobs that return to their queues."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from broker.core.errors import Invalid, TitanError, TooLarge
from broker.core.words import counted
from broker.models.fields import MAX_JOBS
from broker.models.reports import Finish
from broker.models.results import Outcome as Answer
from broker.models.results import Problem
from broker.models.workers import Receipt
from worker.client import Client
from worker.daemon.backoff import is_passing, resend
from worker.daemon.deliveries import Deliveries, Delivery, Event
from worker.daemon.loops.upload_logs import LogUploads
from worker.jobs.outcome import Dropped, Failed, Outcome, Released, Succeeded
from worker.jobs.receipt import receipt_of
from worker.jobs.texts import MAX_ERROR, MAX_REASON, clipped, named, plain

_AGAIN_S = 1.0
_UNFIT = (Invalid, TooLarge)
"""Errors for an outcome that the broker will never accept."""
_UNFIT_CODES = frozenset(error.word.lower() for error in _UNFIT)
_UNSENDABLE = (TypeError, ValueError, OverflowError)
"""Errors of the encoder for an outcome that cannot be sent."""

_log = logging.getLogger(__name__)

Report = tuple[Delivery, Outcome]


class FinishLoop:
    """Sends each outcome until the broker has answered. The next batch is collected during a call."""

    def __init__(
        self, client: Client, runs: Deliveries, uploads: LogUploads, on_event: Callable[[Event], None], worker: str
    ) -> None:
        self._client = client
        self._runs = runs
        self._uploads = uploads
        self._on_event = on_event
        self._worker = worker
        self._reports: list[Report] = []
        self._has_reports = asyncio.Event()
        self._replaced: set[Delivery] = set()
        self.lost = 0
        """Outcomes that the broker will never get: their jobs run again."""

    def put(self, run: Delivery, outcome: Outcome) -> None:
        """Report this outcome with the next call."""
        self._reports.append((run, outcome))
        if not self._has_reports.is_set():
            self._has_reports.set()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self._has_reports.wait()
            reports, self._reports = self._reports[:MAX_JOBS], self._reports[MAX_JOBS:]
            if not self._reports:
                self._has_reports.clear()
            await self._report(reports)

    async def _report(self, reports: Sequence[Report]) -> None:
        finished = [(run, outcome) for run, outcome in reports if isinstance(outcome, Succeeded | Failed)]
        released = [(run, outcome) for run, outcome in reports if isinstance(outcome, Released)]
        await asyncio.gather(self._finish(finished), *(self._release(run, outcome) for run, outcome in released))
        for run, outcome in reports:
            if isinstance(outcome, Dropped):
                self._runs.reported(run)
                self._uploads.put_if_ours(run)

    async def _finish(self, reports: Sequence[tuple[Delivery, Succeeded | Failed]]) -> None:
        if not reports:
            return
        items = [_item(run, outcome, self._receipt(run, outcome)) for run, outcome in reports]
        try:
            answers = await resend("finish", partial(self._client.finish, items))
        except (*_UNFIT, *_UNSENDABLE) as error:
            if len(reports) > 1:  # find out which one it is
                for report in reports:
                    await self._finish([report])
                return
            answers = [Answer(id=items[0].id, error=_unfit(error))]
        except TitanError as error:
            _log.error("finish: %.4096r; %s not reported", error.message, counted(len(items), "job"))
            answers = [Answer(id=item.id, error=Problem(message=error.message)) for item in items]
            self.lost += len(items)
        for (run, outcome), answer in zip(reports, answers, strict=True):
            self._answered(run, outcome, answer.error or None)

    def _answered(self, run: Delivery, outcome: Succeeded | Failed, problem: Problem | None) -> None:
        if problem is not None and is_passing(problem.code):
            asyncio.get_running_loop().call_later(_AGAIN_S, self.put, run, outcome)
            return
        if problem is not None and problem.code in _UNFIT_CODES and self._replace(run, problem.message):
            return
        self._replaced.discard(run)
        self._runs.reported(run)
        if problem is None:
            self._on_event(Event("reported", run.job, outcome))
            self._uploads.put(run)
            return
        _log.warning("job %s: the broker refused its outcome: %.4096r", run.job.id, problem.message)
        self._on_event(Event("refused", run.job, outcome))
        self._uploads.put_if_ours(run)

    async def _release(self, run: Delivery, outcome: Released) -> None:
        job, receipt = run.job, self._receipt(run, outcome)
        release = partial(
            self._client.release, job.group_name, job.id, run.lease, delay_s=outcome.delay_s, receipt=receipt
        )
        try:
            await resend("release", release)
        except (*_UNFIT, *_UNSENDABLE) as error:
            if self._replace(run, _unfit(error).message):
                return
        except TitanError as error:  # after a lost answer, or at the end of the lease: it is queued already
            _log.info("job %s: not released: %.4096r", run.job.id, error.message)
        self._runs.reported(run)
        run.output.close()
        self._on_event(Event("reported", run.job, outcome))

    def _receipt(self, run: Delivery, outcome: Outcome) -> Receipt | None:
        """The receipt of the run; none with an outcome that replaces a refused one."""
        if run in self._replaced:
            return None
        try:
            return receipt_of(run, outcome, self._worker)
        except _UNSENDABLE as error:
            _log.warning("job %s: it has no receipt: %s", run.job.id, error)
            return None

    def _replace(self, run: Delivery, why: str) -> bool:
        """Report the job as failed instead of a refused outcome; False if that was refused too."""
        if run in self._replaced:
            self.lost += 1
            return False
        _log.warning("job %s: the broker refused its outcome, so it is failed: %.4096r", run.job.id, why)
        self._replaced.add(run)
        self.put(run, Failed("invalid_outcome", f"the broker refused its outcome: {why}"))
        return True


def _unfit(error: Exception) -> Problem:
    message = error.message if isinstance(error, TitanError) else named(error)
    return Problem(message=message, code=Invalid.word.lower())


def _item(run: Delivery, outcome: Succeeded | Failed, receipt: Receipt | None) -> Finish:
    name, job_id, lease = run.job.group_name, run.job.id, run.lease or None
    if isinstance(outcome, Succeeded):
        return Finish(group_name=name, id=job_id, lease=lease, status="succeeded", receipt=receipt)
    reason, error = clipped(plain(outcome.reason), MAX_REASON), clipped(plain(outcome.error), MAX_ERROR)
    return Finish(group_name=name, id=job_id, lease=lease, status="failed", reason=reason, error=error, receipt=receipt)
