"""finish: reports outcomes, several in one call; releases jobs that return to their queues."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from msgspec import UNSET, Raw

from broker.core.errors import GAVE_BACK, Invalid, NotFound, TitanError, TooLarge, WrongState
from broker.core.timestamps import milliseconds
from broker.core.words import counted
from broker.models.fields import MAX_JOBS
from broker.models.reports import Finish
from broker.models.results import Outcome as Answer
from broker.models.results import Problem
from broker.models.workers import Receipt
from worker.client import Client
from worker.daemon.backoff import Outage, is_passing, resend
from worker.daemon.deliveries import Deliveries, Delivery, Event
from worker.daemon.loops.upload_logs import LogUploads
from worker.host import host_name
from worker.jobs.outcome import Dropped, Failed, Outcome, Released, Succeeded, Waiting
from worker.jobs.texts import MAX_ERROR, MAX_REASON, clipped, error_text, utf8_text

_AGAIN_S = 1.0
_MAX_NOTE = 255
_REJECTIONS = (Invalid, TooLarge)
"""Errors for an outcome that the broker will never accept."""
_REJECTION_CODES = frozenset(error.word.lower() for error in _REJECTIONS)
_ENCODING_ERRORS = (TypeError, ValueError, OverflowError)
"""Errors of the encoder for an outcome that cannot be sent."""

_milliseconds = lru_cache(maxsize=4096)(milliseconds)  # jobs of one call have the same times

_log = logging.getLogger(__name__)

Report = tuple[Delivery, Outcome]


class FinishLoop:
    """Sends each outcome until the broker has answered. The next batch is collected during a call."""

    def __init__(
        self,
        client: Client,
        deliveries: Deliveries,
        uploads: LogUploads,
        on_event: Callable[[Event], None],
        worker: str,
        outage: Outage | None = None,
    ) -> None:
        self._client = client
        self._deliveries = deliveries
        self._uploads = uploads
        self._on_event = on_event
        self._worker = worker
        self._outage = outage
        self._reports: list[Report] = []
        self._has_reports = asyncio.Event()
        self._replaced: set[Delivery] = set()
        self.lost_outcomes = 0
        """Outcomes that the broker will never get: their jobs run again."""

    def put(self, delivery: Delivery, outcome: Outcome) -> None:
        """Report this outcome with the next call."""
        self._reports.append((delivery, outcome))
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
        finished = [(delivery, outcome) for delivery, outcome in reports if isinstance(outcome, Succeeded | Failed)]
        released = [(delivery, outcome) for delivery, outcome in reports if isinstance(outcome, Released | Waiting)]
        await asyncio.gather(
            self._finish(finished), *(self._give_back(delivery, outcome) for delivery, outcome in released)
        )
        for delivery, outcome in reports:
            if isinstance(outcome, Dropped):
                self._deliveries.reported(delivery)
                self._uploads.put_if_last_delivery(delivery)

    async def _finish(self, reports: Sequence[tuple[Delivery, Succeeded | Failed]]) -> None:
        if not reports:
            return
        items = [_item(delivery, outcome, self._receipt(delivery, outcome)) for delivery, outcome in reports]
        try:
            answers = await resend("reporting outcomes", partial(self._client.finish, items), outage=self._outage)
        except (*_REJECTIONS, *_ENCODING_ERRORS) as error:
            if len(reports) > 1:  # find out which one it is
                for report in reports:
                    await self._finish([report])
                return
            answers = [Answer(id=items[0].id, error=_rejection(error))]
        except TitanError as error:
            _log.error("reporting outcomes: %.4096r; %s not reported", error.message, counted(len(items), "job"))
            answers = [Answer(id=item.id, error=Problem(message=error.message)) for item in items]
            self.lost_outcomes += len(items)
        for (delivery, outcome), answer in zip(reports, answers, strict=True):
            self._handle_answer(delivery, outcome, answer.error or None)

    def _handle_answer(self, delivery: Delivery, outcome: Succeeded | Failed, problem: Problem | None) -> None:
        if problem is not None and is_passing(problem.code):
            asyncio.get_running_loop().call_later(_AGAIN_S, self.put, delivery, outcome)
            return
        if problem is not None and problem.code in _REJECTION_CODES:
            if isinstance(outcome, Succeeded) and outcome.result:
                self.put(delivery, _without_result(delivery, outcome, problem.message))
                return
            if self._replace(delivery, problem.message):
                return
        self._replaced.discard(delivery)
        self._deliveries.reported(delivery)
        if problem is None:
            self._on_event(Event("reported", delivery.job, outcome))
            self._uploads.put(delivery)
            return
        if problem.message == GAVE_BACK:  # what ran here called wait with its lease
            _log.info("job %s: it gave the job back itself, and waits for others", delivery.job.id)
            self._on_event(Event("dropped", delivery.job, outcome))
        elif delivery.is_late:  # the broker failed it first, for the same reason
            _log.info("job %s: the broker has failed it already: %.4096r", delivery.job.id, problem.message)
            self._on_event(Event("dropped", delivery.job, outcome))
        else:
            _log.warning("job %s: the broker refused its outcome: %.4096r", delivery.job.id, problem.message)
            self._on_event(Event("refused", delivery.job, outcome))
        self._uploads.put_if_last_delivery(delivery)

    async def _give_back(self, delivery: Delivery, outcome: Released | Waiting) -> None:
        try:
            await resend("releasing a job", partial(self._release, delivery, outcome), outage=self._outage)
        except (*_REJECTIONS, *_ENCODING_ERRORS) as error:
            if self._replace(delivery, _rejection(error).message):
                return
        except (WrongState, NotFound) as error:  # it waits for a job that waits for it; or the broker knows no wait
            if isinstance(outcome, Waiting) and self._replace(delivery, error.message):
                return
            _log.info("job %s: not released: %.4096r", delivery.job.id, error.message)
        except TitanError as error:  # after a lost answer, or at the end of the lease: it is queued already
            _log.info("job %s: not released: %.4096r", delivery.job.id, error.message)
        self._deliveries.reported(delivery)
        delivery.output.close()
        self._on_event(Event("reported", delivery.job, outcome))

    async def _release(self, delivery: Delivery, outcome: Released | Waiting) -> None:
        job, receipt = delivery.job, self._receipt(delivery, outcome)
        held = (job.group_name, job.id, delivery.lease)
        if isinstance(outcome, Waiting):
            await self._client.wait_for(*held, outcome.after, outcome.after_on, receipt)
        else:
            await self._client.release(*held, delay_s=outcome.delay_s, receipt=receipt)

    def _receipt(self, delivery: Delivery, outcome: Outcome) -> Receipt | None:
        """The receipt of the run; none with an outcome that replaces a refused one."""
        if delivery in self._replaced:
            return None
        try:
            return _receipt_of(delivery, outcome, self._worker)
        except _ENCODING_ERRORS as error:
            _log.warning("job %s: it has no receipt: %s", delivery.job.id, error)
            return None

    def _replace(self, delivery: Delivery, why: str) -> bool:
        """Report the job as failed instead of a refused outcome; False if that was refused too."""
        if delivery in self._replaced:
            self.lost_outcomes += 1
            return False
        _log.warning("job %s: the broker refused its outcome, so it is failed: %.4096r", delivery.job.id, why)
        self._replaced.add(delivery)
        self.put(delivery, Failed("invalid_outcome", f"the broker refused its outcome: {why}"))
        return True


def _without_result(delivery: Delivery, outcome: Succeeded, why: str) -> Succeeded:
    """The outcome without a result that the broker refused: the job did its work, and a retry would do it again."""
    _log.warning("job %s: the broker refused its result, so it has none: %.4096r", delivery.job.id, why)
    return Succeeded(outcome.usage, note=f"no result: {why}")


def _rejection(error: Exception) -> Problem:
    message = error.message if isinstance(error, TitanError) else error_text(error)
    return Problem(message=message, code=Invalid.word.lower())


def _item(delivery: Delivery, outcome: Succeeded | Failed, receipt: Receipt | None) -> Finish:
    name, job_id, lease = delivery.job.group_name, delivery.job.id, delivery.lease or None
    if isinstance(outcome, Succeeded):
        result = Raw(outcome.result) if outcome.result else UNSET
        return Finish(group_name=name, id=job_id, lease=lease, status="succeeded", receipt=receipt, result=result)
    reason, error = clipped(utf8_text(outcome.reason), MAX_REASON), clipped(utf8_text(outcome.error), MAX_ERROR)
    return Finish(
        group_name=name,
        id=job_id,
        lease=lease,
        status="failed",
        reason=reason,
        error=error,
        receipt=receipt,
        retry=UNSET if outcome.retry else False,
        retry_after=UNSET if outcome.retry_after_s is None else outcome.retry_after_s,
    )


def _receipt_of(delivery: Delivery, outcome: Outcome, worker: str) -> Receipt:
    """The receipt of a run that has ended. Raises ValueError for a host name that cannot be sent."""
    usage = outcome.usage if isinstance(outcome, Succeeded | Failed) else None
    return Receipt(
        worker=worker,
        host=host_name(),
        delivery=delivery.job.deliveries,
        exit_code=usage.exit_code if usage else None,
        signal=(usage.signal if usage else None) or "",
        wait_ms=_wait_ms(delivery),
        run_ms=round(delivery.run_s * 1000),
        max_rss_bytes=usage.max_rss_bytes if usage else None,
        cpu_ms=None if usage is None or usage.cpu_s is None else round(usage.cpu_s * 1000),
        log_bytes=delivery.output.size_bytes,
        note=_line(outcome.note) if isinstance(outcome, Succeeded) else "",
    )


def _line(note: str) -> str:
    """A note as a receipt may have it."""
    return clipped("".join(c if c.isprintable() else " " for c in utf8_text(note)), _MAX_NOTE)


def _wait_ms(delivery: Delivery) -> int:
    """The time from due to delivery, by the clock of the store."""
    job = delivery.job
    if not job.started_at:
        return 0
    return max(0, _milliseconds(job.started_at) - _milliseconds(job.created_at) - job.delay * 1000)
