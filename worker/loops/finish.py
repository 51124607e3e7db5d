"""finish: report outcomes, those that come together in one call; and release what goes back."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from broker.errors import TitanError
from broker.models.fields import MAX_JOBS
from broker.models.outcomes import Outcome as Answer
from broker.models.outcomes import Problem
from broker.models.reports import Finish
from broker.presence import Receipt
from broker.words import counted
from worker.backoff import is_passing, resend
from worker.client import Client
from worker.loops.log import LogUploads
from worker.outcome import Dropped, Failed, Outcome, Released, Succeeded
from worker.receipts import receipt_of
from worker.runs import Event, Run, Runs

_ERROR_LENGTH = 4096
_AGAIN_S = 1.0

_logger = logging.getLogger(__name__)

Report = tuple[Run, Outcome]


class FinishLoop:
    """Sends each outcome until the broker has answered it. While one call is on its way the next batch gathers."""

    def __init__(
        self, client: Client, runs: Runs, uploads: LogUploads, on_event: Callable[[Event], None], worker: str
    ) -> None:
        self._client = client
        self._runs = runs
        self._uploads = uploads
        self._on_event = on_event
        self._worker = worker
        self._reports: list[Report] = []
        self._has_reports = asyncio.Event()
        self.lost = 0
        """Outcomes that the broker will never know: their jobs run again."""

    def put(self, run: Run, outcome: Outcome) -> None:
        """Report this when its turn comes."""
        self._reports.append((run, outcome))
        if not self._has_reports.is_set():
            self._has_reports.set()

    async def run(self) -> None:
        """Go on for ever."""
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

    async def _finish(self, reports: Sequence[tuple[Run, Succeeded | Failed]]) -> None:
        if not reports:
            return
        items = [_item(run, outcome, receipt_of(run, outcome, self._worker)) for run, outcome in reports]
        try:
            answers = await resend("finish", partial(self._client.finish, items))
        except TitanError as error:
            _logger.error("finish: %.4096r; %s not reported", error.message, counted(len(items), "job"))  # noqa: TRY400
            answers = [Answer(id=item.id, error=Problem(message=error.message)) for item in items]
            self.lost += len(items)
        for (run, outcome), answer in zip(reports, answers, strict=True):
            self._answered(run, outcome, answer.error or None)

    def _answered(self, run: Run, outcome: Succeeded | Failed, problem: Problem | None) -> None:
        if problem is not None and is_passing(problem.code):
            asyncio.get_running_loop().call_later(_AGAIN_S, self.put, run, outcome)
            return
        self._runs.reported(run)
        if problem is None:
            self._on_event(Event("reported", run.job, outcome))
            self._uploads.put(run)
            return
        _logger.warning("job %s: the broker refused its outcome: %.4096r", run.job.id, problem.message)
        self._on_event(Event("refused", run.job, outcome))
        self._uploads.put_if_ours(run)

    async def _release(self, run: Run, outcome: Released) -> None:
        job, receipt = run.job, receipt_of(run, outcome, self._worker)
        release = partial(
            self._client.release, job.group_name, job.id, run.lease, delay_s=outcome.delay_s, receipt=receipt
        )
        try:
            await resend("release", release)
        except TitanError as error:  # after a lost answer, or when the lease ended: it is back in its queue already
            _logger.info("job %s: not given back: %.4096r", run.job.id, error.message)
        self._runs.reported(run)
        run.output.close()
        self._on_event(Event("reported", run.job, outcome))


def _item(run: Run, outcome: Succeeded | Failed, receipt: Receipt | None) -> Finish:
    name, job_id, lease = run.job.group_name, run.job.id, run.lease or None
    if isinstance(outcome, Succeeded):
        return Finish(group_name=name, id=job_id, lease=lease, status="succeeded", receipt=receipt)
    reason, error = outcome.reason, outcome.error[:_ERROR_LENGTH]
    return Finish(group_name=name, id=job_id, lease=lease, status="failed", reason=reason, error=error, receipt=receipt)
