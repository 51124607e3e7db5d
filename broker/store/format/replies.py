"""Converts the replies of scripts, flat fields and values, to the structs of the API."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from broker.core.states import FINISHED, Status
from broker.core.timestamps import rfc3339
from broker.models.inputs import Input
from broker.models.jobs import DeadLetter, Job, WaitsFor
from broker.models.unique import Unique
from broker.models.workers import Receipt
from broker.store.format.batches import batch_in
from broker.store.format.policies import policy_of
from broker.store.format.record import Settings, parts_of, settings_of, spec_of, split
from broker.store.format.traces import trace_in

_TEXTS = {"reason", "error", "retry_at"}
_TIMES = ("started_at", "completed_at", "expires_at")
_SETTINGS = ("delay", "timeout", "priority", "max_retries", "retries_delay")
_EXECUTION = ("lease", "deliveries", "started_at")
_DEADLINES = ("start_before", "end_before")


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


AHEAD_MS = 60_000
"""How far ahead of the store's clock a completed_at of a client may be, ms."""

_encode = msgspec.json.Encoder().encode
_receipt = msgspec.json.Decoder(Receipt).decode
_unique = msgspec.json.Decoder(Unique).decode
KEY = "key"
"""What the store has for how many jobs a job waits, if it waits for a place of its key."""
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
        if "after" in values:
            job.has_inputs = True
    if "env_vars" in values:
        job.env_vars = _env_vars(values["env_vars"])
    _set_progress(job, values)
    if (is_shown or has_result) and "result" in values:
        job.result = Raw(values["result"])
    if is_shown:
        job.receipts = _receipts(values)
    return job


def inputs_of(reply: Sequence[bytes]) -> list[Input]:
    """The reply of inputs.lua as inputs, in the order of `after`."""
    after, *words = reply
    kept = dict(zip(words[::2], words[1::2], strict=True))
    return [_input(job_id, kept.get(job_id)) for job_id in after.split()]


def _input(job_id: bytes, kept: bytes | None) -> Input:
    if kept is None:
        return Input(id=job_id.decode())
    word, _, result = kept.partition(b" ")
    is_left_out = result.startswith(b"!")
    return Input(
        id=job_id.decode(),
        status=word.decode(),  # type: ignore[arg-type]  # the scripts write no other words
        result=UNSET if is_left_out or not result else Raw(result),
        left_out_bytes=int(result[1:]) if is_left_out else UNSET,
    )


def _set_attempts(job: Job, values: Mapping[str, str]) -> None:
    if "attempts" in values:
        job.attempts = int(values["attempts"])
        if job.status == "failed" and job.completed_at:
            job.dead_at = job.completed_at


def _tie(job: Job, values: Mapping[str, str]) -> None:
    """Set the fields about other jobs: those that it waits for, its keys, and its copy as a dead letter."""
    if "after" in values:
        job.after = values["after"].split(" ")
        if values["after_on"] == "over":
            job.after_on = "over"
    if "needs" in values:
        needs = values["needs"]
        job.waits_for = WaitsFor(key=values["key"]) if needs == KEY else WaitsFor(jobs=int(needs))
    if "key" in values:
        job.key = values["key"]
    if "unique" in values:
        job.unique = _unique(values["unique"])
    if "dead_letter" in values:
        group, copy = values["dead_letter"].split(" ")
        job.dead_letter = DeadLetter(group_name=group, id=copy)


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
    if settings.dead_letter_of:
        job.dead_letter_of = settings.dead_letter_of
    if settings.batch:
        job.batch = batch_in(settings.batch)
    if settings.schedule:
        job.schedule, job.scheduled_for = settings.schedule, rfc3339(settings.scheduled_for)
    for name, text in trace_in(settings).fields().items():
        setattr(job, name, text)
    _set_deadlines(job, settings)
    if (policy := policy_of(settings)) is not None:
        job.retry = policy
    return job


def _set_deadlines(job: Job, settings: Settings) -> None:
    for name in _DEADLINES:
        if getattr(settings, name):
            setattr(job, name, rfc3339(getattr(settings, name)))


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
    """The fields of a row by name: field, value and so on."""
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


def _with_execution(values: dict[str, str]) -> dict[str, str]:
    return values | execution_fields(values["run"]) if "run" in values else values


def _pairs(flat: Iterable[Any]) -> dict[str, str]:
    texts = map(_text, flat)
    return dict(zip(texts, texts, strict=True))


def _text(value: bytes | int) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
