"""Converts what the scripts say of batches to the structs of the API."""

from collections.abc import Sequence
from typing import Any, get_args

from msgspec import UNSET

from broker.core.timestamps import rfc3339
from broker.models.batches import Batch, BatchState
from broker.models.jobs import BatchCounts, Callback, JobBatch

CALLBACKS: tuple[Callback, ...] = get_args(Callback)
FIELDS = (
    *("id", "group", "name", "created_at", "open", "total", "succeeded", "failed", "cancelled", "stopped", "ended_at"),
    *("end_at", *(f"made_{name}" for name in CALLBACKS), "retry_of", "retry_at"),
)
"""The words of a batch in a reply: its id, and BATCH_FIELDS of lua/lib/batches.lua."""


def batch_in(text: str) -> JobBatch:
    """The batch in the settings of a job: its id; of a callback with its name and the counts, colons between them."""
    batch_id, *words = text.split(":")
    if not words:
        return JobBatch(id=batch_id)
    name, *numbers = words
    total, succeeded, failed, cancelled = map(int, numbers)
    return JobBatch(id=batch_id, callback=name, counts=_counts(total, succeeded, failed, cancelled))  # type: ignore[arg-type]


def batch_of(words: Sequence[Any]) -> Batch:
    """A batch in a reply."""
    row = dict(zip(FIELDS, (word.decode() if isinstance(word, bytes) else str(word) for word in words), strict=True))
    counts = _counts(*(int(row[name] or 0) for name in ("total", "succeeded", "failed", "cancelled")))
    is_open, stopped = row["open"] == "1", row["stopped"]
    return Batch(
        id=row["id"],
        group_name=row["group"],
        state=_state(counts, is_open=is_open, is_cancelled=stopped == "client_request"),
        counts=counts,
        callbacks={name: row[f"made_{name}"] for name in CALLBACKS if row[f"made_{name}"]},
        created_at=rfc3339(int(row["created_at"])),
        name=row["name"] or UNSET,
        end_before=rfc3339(int(row["end_at"])) if row["end_at"] else UNSET,
        stopped=stopped or UNSET,  # type: ignore[arg-type]  # the scripts write no other words
        ended_at=rfc3339(int(row["ended_at"])) if row["ended_at"] else UNSET,
        retry_of=row["retry_of"] or UNSET,
        retry_at=row["retry_at"] or UNSET,
    )


def _counts(total: int, succeeded: int, failed: int, cancelled: int) -> BatchCounts:
    over = succeeded + failed + cancelled
    return BatchCounts(total=total, over=over, succeeded=succeeded, failed=failed, cancelled=cancelled)


def _state(counts: BatchCounts, *, is_open: bool, is_cancelled: bool) -> BatchState:
    if is_open:
        return "open"
    if counts.over < counts.total:
        return "running"
    if is_cancelled:
        return "cancelled"
    if counts.failed:
        return "failed"
    return "cancelled" if counts.cancelled else "succeeded"
