"""Jobs as Python objects: what a producer sends, and what the broker answers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Union

Seconds = Union[int, timedelta]
"""A duration: whole seconds, or a timedelta, which is rounded up to whole seconds."""

Time = Union[datetime, str]
"""A time: a datetime, which is in the zone of this machine if it has none, or an RFC 3339 text."""

Parents = Union[str, "Job", Sequence[Union[str, "Job"]]]
"""The jobs that a job waits for: `Job`s, ids, or in one call of `enqueue_many` `ref`s; or one of these."""

UniqueKey = Union[str, Mapping[str, Any]]
"""A unique key: the key alone, or as the API has it: {"key": "doc-7", "on_conflict": "follow"}."""

FINISHED = ("succeeded", "failed", "cancelled")
"""The statuses of jobs that are finished. A finished job never changes its status."""

_TIMES = (
    *("created_at", "started_at", "completed_at", "expires_at", "start_before", "end_before", "dead_at"),
    "scheduled_for",
)


@dataclass(frozen=True)
class NewJob:
    """A job to enqueue. A field without a value gets the default of the broker or of the group.

    `payload` may be a str, which is sent as it is. A dict, list, number or bool is encoded as JSON: the job then has
    the JSON text, and `Job.json()` decodes it.
    """

    image: str | None = None
    """What runs the job: a name in the table of a worker, or a container image; 1 to 255 characters."""
    payload: Any = None
    """What the job works on: up to 1 MiB as UTF-8, unless the broker has another limit."""
    delay: Seconds | None = None
    """Wait before the job is queued: 0 to 31,536,000 s (a year). Default: 0."""
    timeout: Seconds | None = None
    """How long a consumer may hold the job: 1 to 604,800 s (a week). Default: 60 s."""
    priority: int | None = None
    """0 to 2; higher ones first. Default: 0."""
    max_retries: int | None = None
    """How often a failed job is repeated automatically: 0 to 25. Default: 0."""
    retries_delay: Seconds | None = None
    """Wait before each automatic retry: 0 to 31,536,000 s. Default: 60 s."""
    run_at: Time | None = None
    """When the job is queued, in place of `delay`; a time in the past is now."""
    start_within: Seconds | None = None
    """The job fails with the reason `expired` if no consumer takes it in this time: 1 to 31,536,000 s."""
    start_before: Time | None = None
    """The same as a time."""
    end_within: Seconds | None = None
    """The job fails with the reason `timeout` if it, with its automatic retries, is not finished in this time."""
    end_before: Time | None = None
    """The same as a time."""
    retry: Mapping[str, Any] | None = None
    """When the same job is tried again after a failure, as the API has it: {"max": 8, "delay": 5, "cap": 900}.

    Not together with max_retries.
    """
    ref: str | None = None
    """A name for `after` of other jobs of the same call: 1 to 64 characters."""
    after: Parents | None = None
    """The jobs that it waits for: up to 100."""
    after_on: str | None = None
    """Whether these must succeed, "succeeded", or only end, "over". Default: succeeded."""
    unique: UniqueKey | None = None
    """The key that no other job of the group may have at the same time."""
    key: str | None = None
    """What it belongs to, such as a tenant: 1 to 128 characters. A group may limit the jobs of a key."""
    traceparent: str | None = None
    """The trace of the job, as W3C's header has it. Default: that of OpenTelemetry, if it is used."""
    tracestate: str | None = None
    """What belongs to `traceparent`: up to 512 characters."""

    def to_json(self) -> dict[str, Any]:
        """The fields that are set, as the API has them."""
        fields: dict[str, Any] = {
            "image": self.image,
            "payload": payload_text(self.payload),
            "priority": self.priority,
            "max_retries": self.max_retries,
            "retry": self.retry,
            "ref": self.ref,
            "after": None if self.after is None else parent_names(self.after),
            "after_on": self.after_on,
            "unique": {"key": self.unique} if isinstance(self.unique, str) else self.unique,
            "key": self.key,
            "traceparent": self.traceparent,
            "tracestate": self.tracestate,
        }
        for name in ("delay", "timeout", "retries_delay", "start_within", "end_within"):
            duration = getattr(self, name)
            fields[name] = None if duration is None else whole_seconds(duration, name)
        for name in ("run_at", "start_before", "end_before"):
            time = getattr(self, name)
            fields[name] = None if time is None else time_text(time, name)
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class Job:
    """A job as the broker has it at the time of the answer. Text that does not exist is "", a time is None."""

    id: str
    """Made by the broker. Later jobs have greater ids."""
    group_name: str
    status: str
    """delayed, queued, running, succeeded, failed or cancelled."""
    image: str
    created_at: datetime
    payload: str = ""
    delay: int = 0
    timeout: int = 60
    priority: int = 0
    max_retries: int = 0
    retries_delay: int = 60
    deliveries: int = 0
    """How often the job was delivered to a consumer."""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    expires_at: datetime | None = None
    """When the lease ends, while the job runs."""
    start_before: datetime | None = None
    """When a consumer must have taken it, if it must."""
    end_before: datetime | None = None
    """When it must have finished, if it must."""
    after: Sequence[str] = ()
    """The ids of the jobs that it waited for."""
    after_on: str = ""
    """Which end of these was enough: "over" means any; "" that they had to succeed."""
    has_inputs: bool = False
    """Of a delivered job: whether it waited for others, so that `client.inputs` has what they made."""
    waits_for: Mapping[str, Any] = field(default_factory=dict)
    """While it is held: for how many jobs it still waits, {"jobs": 2}, or for a place of its key, {"key": "acme"}."""
    unique: Mapping[str, Any] = field(default_factory=dict)
    """Its unique key, as the API has it; empty without one."""
    key: str = ""
    """What it belongs to; not in jobs that `consume` and `next` deliver."""
    batch: Mapping[str, Any] = field(default_factory=dict)
    """The batch that it is a member of, {"id": "…"}; of a callback also `callback`, its name, and `counts`."""
    duplicate: bool = False
    """In the answer to an enqueue: the job existed already, and has the unique key of the new one."""
    reason: str = ""
    """Why the job is in this status, for programs: timeout, killed, bad_exit, expired, client_request, or another."""
    error: str = ""
    """What went wrong, for people."""
    retry_of: str = ""
    """The id of the job that this one retries."""
    retried_by: str = ""
    """The id of the job that retries this one."""
    retry: Mapping[str, Any] = field(default_factory=dict)
    """The retry policy of the job, with its defaults; empty without one."""
    attempts: int = 0
    """With a retry policy: how often it failed. Not in jobs that `consume` and `next` deliver."""
    dead_at: datetime | None = None
    """With a retry policy: when it failed for good."""
    dead_letter: Mapping[str, Any] = field(default_factory=dict)
    """Of a job that failed for good: its copy in the group for dead letters, {"group_name": "dead", "id": …}."""
    dead_letter_of: str = ""
    """Of such a copy: the group in which the job `retry_of` failed."""
    schedule: str = ""
    """The schedule of the group that made it, if one did."""
    scheduled_for: datetime | None = None
    """The time of the schedule that it is for."""
    traceparent: str = ""
    """The trace of the job, as W3C's header has it; "" without one."""
    tracestate: str = ""
    """What belongs to it."""
    lease: str = field(default="", repr=False)
    """The token of the delivery, for the consumer that holds the job."""
    env_vars: Mapping[str, str] = field(default_factory=dict)
    """The environment of the group, for the consumer."""
    progress: int | None = None
    """How far the job is, 0 to 100 percent, as its consumer said last."""
    note: str = ""
    """What the job does now, for people."""
    result: Any = None
    """What the job made: any JSON, decoded. None if it made nothing, and in lists."""
    receipts: Sequence[Mapping[str, Any]] = ()
    """What the last five deliveries used, and how they ended; not in lists."""
    received: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The job as it was received, with fields that this version of the library does not know."""

    @classmethod
    def from_json(cls, received: Mapping[str, Any]) -> Job:
        """The job of an answer. Raises LookupError, TypeError or ValueError if it is none."""
        known = {name: received[name] for name in cls.__dataclass_fields__ if name in received}
        known.update({name: moment(received[name]) for name in _TIMES if received.get(name)})
        retried_by = received.get("retried_by") or received.get("retry_at") or ""
        return cls(**{**known, "retried_by": retried_by, "received": received})

    @property
    def is_finished(self) -> bool:
        """Whether the job is succeeded, failed or cancelled."""
        return self.status in FINISHED

    @property
    def has_succeeded(self) -> bool:
        """Whether the job is succeeded."""
        return self.status == "succeeded"

    def json(self) -> Any:
        """The payload decoded from JSON. Raises ValueError if it is not JSON."""
        return json.loads(self.payload)


@dataclass(frozen=True)
class Input:
    """What became of a job that another one waited for."""

    id: str
    """As it is in `after`; if that job was retried automatically, the rest is of its retry."""
    status: str = ""
    """How it ended: succeeded, failed or cancelled; "" while it has not."""
    result: Any = None
    """What it made: any JSON, decoded. None if it made nothing, or too much."""
    left_out_bytes: int = 0
    """The size of its result, if that is too large: more than 16 KiB, or 256 KiB with the others."""

    @classmethod
    def from_json(cls, received: Mapping[str, Any]) -> Input:
        """The input of an answer. Raises LookupError or TypeError if it is none."""
        return cls(**{name: received[name] for name in cls.__dataclass_fields__ if name in received})


def payload_text(payload: Any) -> str | None:
    """The payload as text: a str as it is, None as None, everything else as JSON. Raises TypeError."""
    if payload is None or isinstance(payload, str):
        return payload
    if isinstance(payload, (bytes, bytearray, memoryview)):
        raise TypeError("A payload is text: decode the bytes, or encode them with base64, first.")
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def parent_names(parents: Parents) -> list[str]:
    """The ids and refs of jobs to wait for. Raises TypeError for what is no text and no Job."""
    given = [parents] if isinstance(parents, (str, Job)) else parents
    names = [job.id if isinstance(job, Job) else job for job in given]
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"after has ids, refs or Jobs, and not {name!r}.")
    return names


def whole_seconds(duration: Seconds, name: str = "delay") -> int:
    """A duration in whole seconds, rounded up. Raises TypeError with the name for what is neither."""
    if isinstance(duration, timedelta):
        return math.ceil(duration.total_seconds())
    if not isinstance(duration, int):
        raise TypeError(f"{name} is whole seconds or a timedelta, and not {duration!r}.")
    return duration


def time_text(time: Time, name: str) -> str:
    """A time as the API takes it: RFC 3339. Raises TypeError with the name for what is no time."""
    if isinstance(time, datetime):
        return time.astimezone(timezone.utc).isoformat(timespec="microseconds")
    if not isinstance(time, str):
        raise TypeError(f"{name} is a datetime or an RFC 3339 text, and not {time!r}.")
    return time


def moment(text: str) -> datetime:
    """An RFC 3339 time of the broker, in UTC."""
    return datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
