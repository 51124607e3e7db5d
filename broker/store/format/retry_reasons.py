"""Why a job that failed was not tried again."""

from collections.abc import Iterator, Sequence

from broker.core.timestamps import milliseconds
from broker.core.words import counted
from broker.models.jobs import Job
from broker.models.retries import Retry
from broker.models.why import WhyReason


def not_retried(job: Job, group_policy: Retry | None) -> Iterator[WhyReason]:
    """A reason if a policy could have had the job tried again.

    `group_policy` is what the group has now; at the end of the job it may have had another one.
    """
    policy = job.retry or (None if job.max_retries else group_policy)
    if job.status != "failed" or job.retry_at or not policy or job.reason == "expired":
        return
    n, most = job.attempts or 0, policy.max or 0
    text = f"It was not tried again: {_cause(job, policy, n, most)}."
    yield WhyReason(code="not_retried", text=text, n=n, limit=most, reason=job.reason or "")


def _cause(job: Job, policy: Retry, n: int, most: int) -> str:
    reason = job.reason or ""
    if job.end_before and job.completed_at and milliseconds(job.completed_at) >= milliseconds(job.end_before):
        return f"it had to end before {job.end_before}"
    if policy.except_ and _has(policy.except_, reason):
        return f"its policy excepts the reason {reason}"
    if policy.only and not _has(policy.only, reason):
        return f"its policy is only for {', '.join(policy.only)}"
    if n > most:
        return f"it failed {counted(n, 'time')}, and its policy forgives {counted(most, 'failure')}"
    if reason == "timeout" and not n:
        return "too many of its leases ended without a report"
    limits = [name for name, value in (("max_age", policy.max_age), ("end_before", job.end_before)) if value]
    late = f", or the next try would have been later than its {' and '.join(limits)} allowed" if limits else ""
    return f"its report forbade it{late}"


def _has(words: Sequence[str], reason: str) -> bool:
    """Whether the reason is one of the words; one that ends with a star stands for all that begin so."""
    return any(reason.startswith(word[:-1]) if word.endswith("*") else reason == word for word in words)
