"""The receipt of a run: who ran the job, how it ended, what it used."""

from functools import lru_cache

from broker.core.timestamps import milliseconds
from broker.models.workers import Receipt
from worker.daemon.deliveries import Delivery
from worker.host import host_name
from worker.jobs.outcome import Failed, Outcome, Succeeded

_milliseconds = lru_cache(maxsize=4096)(milliseconds)  # jobs of one call have the same times


def receipt_of(run: Delivery, outcome: Outcome, worker: str) -> Receipt:
    """The receipt of a run that has ended. Raises ValueError for a host name that cannot be sent."""
    usage = outcome.usage if isinstance(outcome, Succeeded | Failed) else None
    return Receipt(
        worker=worker,
        host=host_name(),
        delivery=run.job.deliveries,
        exit_code=usage.exit_code if usage else None,
        signal=(usage.signal if usage else None) or "",
        wait_ms=_wait_ms(run),
        run_ms=round(run.run_s * 1000),
        max_rss_bytes=usage.max_rss_bytes if usage else None,
        cpu_ms=None if usage is None or usage.cpu_s is None else round(usage.cpu_s * 1000),
        log_bytes=run.output.size_bytes,
    )


def _wait_ms(run: Delivery) -> int:
    """The time from due to delivery, by the clock of the store."""
    job = run.job
    if not job.started_at:
        return 0
    return max(0, _milliseconds(job.started_at) - _milliseconds(job.created_at) - job.delay * 1000)
