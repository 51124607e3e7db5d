"""Converts the replies of scripts, flat fields and values, to the structs of the API."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from broker.core.states import FINISHED, STATUSES, Status
from broker.core.timestamps import rfc3339
from broker.models.groups import DEFAULT_DELIVERY_LIMIT, Counts, Group, GroupSettings, Retentions
from broker.models.jobs import Job, WaitsFor
from broker.models.unique import Unique
from broker.models.workers import Receipt
from broker.store.format.policies import policy_in, policy_of, policy_text
from broker.store.format.record import parts_of, settings_of, spec_of, split

_TEXTS = {"reason", "error", "retry_at"}
_TIMES = ("started_at", "completed_at", "expires_at")
_SETTINGS = ("delay", "timeout", "priority", "max_retries", "retries_delay")
_EXECUTION = ("lease", "deliveries", "started_at")
_RETENTION = "retention_"
_DEADLINES = ("start_before", "end_before")
_REAPED = 9
"""Words in the reply of reap.lua before those of groups."""


class Reaped(NamedTuple):
    """The counts of a reap, logs still to be deleted, and ms until the next timer (0: more is due; None: no timer).

    `away`: partitions whose server did not answer.
    """

    queued: int = 0
    requeued: int = 0
    failed: int = 0
    expired: int = 0
    discarded: int = 0
    unsettled: int = 0
    """Jobs whose end must still be settled."""
    wait_ms: int | None = None
    late_ms: int = 0
    away: int = 0
    fires_in_ms: int | None = None
    """Until a schedule fires; 0 or less when it should have fired. None: no schedule."""


class Followed(NamedTuple):
    """The fields of a job that a follower of its log needs. Times are ms."""

    now: int
    status: str
    log_bytes: int
    is_growing: bool
    """Whether the stored log is the first part of the log of a delivery."""
    delivery: int
    """The delivery that wrote the log, as far as it is known."""
    completed_at: int | None

    def is_over(self, patience_ms: int) -> bool:
        """Whether the log is complete: the job is finished, and its last part is stored or overdue."""
        if self.completed_at is None:
            return False
        since_ms = self.now - self.completed_at
        if since_ms < -AHEAD_MS:  # the clock went back: the time since then is unknown
            return True
        return (self.log_bytes > 0 and not self.is_growing) or since_ms > patience_ms


class Finding(NamedTuple):
    """A contradiction in the store. `job_id` is '' for one about the whole group."""

    group: str
    job_id: str
    what: str
    is_repaired: bool = False
    """Whether this run changed the store so that it agrees now."""


class Surveyed(NamedTuple):
    """A step of a survey: where it continues, how many ids it read, and those that must be checked, by group."""

    cursor: str
    after: tuple[str, str]
    read: int
    suspects: list[tuple[str, list[str]]]


AHEAD_MS = 60_000
"""How far ahead of the store's clock a completed_at of a client may be, ms."""

_encode = msgspec.json.Encoder().encode
_receipt = msgspec.json.Decoder(Receipt).decode
_unique = msgspec.json.Decoder(Unique).decode
_env_vars = msgspec.json.Decoder(dict[str, str]).decode


def job_of(row: Sequence[Any], *, is_dispatched: bool = False, is_shown: bool = False, has_result: bool = False) -> Job:
    """A row as a job; its lease token only if it was dispatched, its receipts and its result only if it is shown.

    `has_result`: with its result, in a list of results.
    """
    values = _with_execution(_pairs(row))
    job = _recorded(values)
    if "deliveries" in values:
        job.deliveries = int(values["deliveries"])
    for name in _TIMES:
        if name in values:
            setattr(job, name, rfc3339(int(values[name])))
    for name in _TEXTS & values.keys():
        setattr(job, name, values[name])
    _set_attempts(job, values)
    _tie(job, values)
    if is_dispatched:
        job.lease = values["lease"]
    if "env_vars" in values:
        job.env_vars = _env_vars(values["env_vars"])
    _set_progress(job, values)
    if (is_shown or has_result) and "result" in values:
        job.result = Raw(values["result"])
    if is_shown:
        job.receipts = _receipts(values)
    return job


def _set_attempts(job: Job, values: Mapping[str, str]) -> None:
    if "attempts" in values:
        job.attempts = int(values["attempts"])
        if job.status == "failed" and job.completed_at:
            job.dead_at = job.completed_at


def _tie(job: Job, values: Mapping[str, str]) -> None:
    """Set the fields about other jobs: those that it waits for, and its unique key."""
    if "after" in values:
        job.after = values["after"].split(" ")
        if values["after_on"] == "over":
            job.after_on = "over"
    if "needs" in values:
        job.waits_for = WaitsFor(int(values["needs"]))
    if "unique" in values:
        job.unique = _unique(values["unique"])


def _recorded(values: Mapping[str, str]) -> Job:
    """The fields from the record of a job, and its status."""
    header, spec_body = split(values["job"].encode())
    parts, spec = parts_of(header), spec_of(values.get("spec") or b"{%b}" % spec_body)
    job = Job(
        id=values["id"],
        group_name=parts.group_name.decode(),
        status=values["status"],  # type: ignore[arg-type]  # the scripts write no other words
        image=spec.image,
        created_at=rfc3339(int(parts.created_at)),
    )
    if spec.payload:
        job.payload = spec.payload
    settings = settings_of(parts.settings)
    for name in _SETTINGS:
        setattr(job, name, getattr(settings, name))
    if settings.retry_of:
        job.retry_of = settings.retry_of
    if settings.schedule:
        job.schedule, job.scheduled_for = settings.schedule, rfc3339(settings.scheduled_for)
    for name in _DEADLINES:
        if getattr(settings, name):
            setattr(job, name, rfc3339(getattr(settings, name)))
    if (policy := policy_of(settings)) is not None:
        job.retry = policy
    return job


def _set_progress(job: Job, values: Mapping[str, str]) -> None:
    """Set what the present delivery noted. Each text begins with the number of the delivery that did."""
    if job.status in {"delayed", "queued"}:
        return
    for name in ("progress", "note"):
        delivery, _, text = values.get(name, "").partition(" ")
        if delivery == str(job.deliveries):
            setattr(job, name, int(text) if name == "progress" else text)


def _receipts(values: Mapping[str, str]) -> list[Receipt] | UnsetType:
    lines = values.get("receipts", "").splitlines()
    return [_receipt(line) for line in lines] or UNSET


def followed_of(reply: Sequence[Any]) -> Followed:
    """The reply of follow.lua."""
    now, status, deliveries, log_bytes, log_more, completed_at = reply
    return Followed(
        now=int(now),
        status=status.decode(),
        log_bytes=int(log_bytes or 0),
        is_growing=log_more is not None,
        delivery=int(log_more or deliveries or 0),
        completed_at=int(completed_at) if completed_at else None,
    )


def field_of(row: Sequence[Any], name: str) -> str | None:
    """One field of a row; None if the job does not have it."""
    return _with_execution(_pairs(row)).get(name)


def values_of(row: Sequence[Any]) -> dict[str, str]:
    """The fields of a row by name."""
    return _pairs(row)


def status_of(execution: bytes | None, *, is_delayed: bool) -> Status:
    """The status of a job with this execution text. `is_delayed`: it is in the set of delayed jobs."""
    words = (execution or b"").decode().split(" ")
    if len(words) > 1:
        return words[-2] if words[-2] in FINISHED else "running"
    return "delayed" if is_delayed else "queued"


def execution_fields(text: str) -> dict[str, str]:
    """The parts of an execution text: deliveries, lease, started_at, and completed_at of a finished job."""
    words = text.split(" ")
    if len(words) == 1:
        return {"deliveries": words[0]}
    values = dict(zip(_EXECUTION, words, strict=False))
    if words[2] == "-":
        del values["started_at"]
    if words[-2] in FINISHED:
        values["completed_at"] = words[-1]
    return values


def group_of(row: Sequence[Any]) -> Group:
    """A row of groups.lua as a group."""
    settings = _pairs(row[8:])
    kept = {
        name.removeprefix(_RETENTION): int(value) for name, value in settings.items() if name.startswith(_RETENTION)
    }
    limit, rate = settings.get("max_concurrency"), settings.get("rate_limit")
    return Group(
        name=_text(row[0]),
        created_at=rfc3339(int(row[1])),
        counts=Counts(**dict(zip(STATUSES, map(int, row[2:8]), strict=True))),
        image=settings.get("image", UNSET),
        env_vars=_env_vars(settings["env_vars"]) if "env_vars" in settings else UNSET,
        max_concurrency=int(limit) if limit else UNSET,
        rate_limit=int(rate) if rate else UNSET,
        paused="paused" in settings,
        paused_at=rfc3339(int(settings["paused_at"])) if "paused_at" in settings else UNSET,
        paused_by=settings.get("paused_by", UNSET),
        note=settings.get("note", UNSET),
        delivery_limit=int(settings.get("delivery_limit", DEFAULT_DELIVERY_LIMIT)),
        require_lease="require_lease" in settings,
        retention=Retentions(**kept),
        retry=policy_in(settings["retry"]) or UNSET if "retry" in settings else UNSET,
    )


def reaped_of(replies: Iterable[Sequence[Any]]) -> Reaped:
    """The replies of reap.lua in all partitions, added up."""
    numbers = [[int(value) for value in reply[:_REAPED]] for reply in replies]
    counts = Reaped._make([*(sum(column) for column in list(zip(*numbers, strict=True))[:6]), None, 0, 0, None])
    waits = [timer - now for *_, now, timer, _ in numbers if timer >= 0]
    wait_ms, late_ms = max(0, min(waits)) if waits else None, max(0, -min(waits, default=0))
    fires = [fires_at - now for *_, now, _, fires_at in numbers if fires_at >= 0]
    return counts._replace(wait_ms=wait_ms, late_ms=late_ms, fires_in_ms=min(fires, default=None))


def ends_of(reply: Sequence[Any]) -> list[tuple[str, int, int, int, int]]:
    """What the reply of reap.lua says of groups with lost leases or late jobs.

    Group, and how many jobs with lost leases were requeued and failed, how many of these were retried; and how many
    waiting jobs were too late.
    """
    words = iter(reply[_REAPED:])
    rows = zip(words, words, words, words, words, strict=True)
    return [
        (_text(group), int(requeued), int(failed), int(retried), int(late))
        for group, requeued, failed, retried, late in rows
    ]


def fields_of(settings: GroupSettings) -> list[str]:
    """The settings of a group as fields of its hash: only those that are not the default."""
    given: dict[str, str | int | None] = {
        "image": settings.image or None,
        "env_vars": _encode(settings.env_vars).decode() if settings.env_vars else None,
        "max_concurrency": settings.max_concurrency,
        "rate_limit": settings.rate_limit,
        "paused": "true" if settings.paused else None,
        "delivery_limit": settings.delivery_limit,
        "require_lease": "true" if settings.require_lease else None,
        "retry": policy_text(settings.retry) if settings.retry else None,
    }
    for status, kept_s in msgspec.structs.asdict(settings.retention or Retentions()).items():
        given[_RETENTION + status] = None if kept_s == getattr(Retentions(), status) else kept_s
    return [text for name, value in given.items() if value is not None for text in (name, str(value))]


def _with_execution(values: dict[str, str]) -> dict[str, str]:
    return values | execution_fields(values["run"]) if "run" in values else values


def _pairs(flat: Iterable[Any]) -> dict[str, str]:
    texts = map(_text, flat)
    return dict(zip(texts, texts, strict=True))


def _text(value: bytes | int) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
