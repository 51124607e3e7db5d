"""Batches, and the calls about them: for each the request, how to read its answer, and whether it may be sent again."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Union

from titan import calls
from titan.calls import AnyNewJob, Call, Page, Request
from titan.errors import NotFound
from titan.jobs import Job, NewJob, Seconds, moment, whole_seconds
from titan.tracing import current_trace

BatchOrId = Union["Batch", str]


@dataclass(frozen=True)
class Batch:
    """Jobs of a group whose ends are counted, as the broker has it at the time of the answer."""

    id: str
    group_name: str
    state: str
    """open, running, succeeded, failed or cancelled."""
    created_at: datetime
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many members there are, and how they ended: total, over, succeeded, failed, cancelled."""
    callbacks: Mapping[str, str] = field(default_factory=dict)
    """The ids of the callback jobs that exist: on_failed, on_succeeded, on_over."""
    name: str = ""
    stopped: str = ""
    """Why its unfinished members are cancelled: client_request or end_within."""
    end_before: datetime | None = None
    """When its unfinished members are cancelled, if they are."""
    ended_at: datetime | None = None
    """When it ended, and its callbacks existed."""
    retry_of: str = ""
    """The id of the batch whose failed members it repeats."""
    retried_by: str = ""
    """The id of the batch that repeats its failed members."""

    @property
    def has_ended(self) -> bool:
        """Whether all members have ended, and the callbacks exist."""
        return self.ended_at is not None

    @property
    def has_succeeded(self) -> bool:
        """Whether it has ended, and all members have succeeded."""
        return self.has_ended and self.state == "succeeded"

    @classmethod
    def from_json(cls, received: Mapping[str, Any]) -> Batch:
        """The batch of an answer. Raises LookupError, TypeError or ValueError if it is none."""
        known = {name: received[name] for name in cls.__dataclass_fields__ if name in received}
        times = ("created_at", "end_before", "ended_at")
        known.update({name: moment(received[name]) for name in times if received.get(name)})
        return cls(**{**known, "retried_by": received.get("retry_at") or ""})


def create(
    group: str,
    jobs: Sequence[AnyNewJob],
    callbacks: Mapping[str, AnyNewJob | None],
    *,
    name: str = "",
    is_open: bool = False,
    end_within: Seconds | None = None,
    key: str = "",
) -> Call[Batch]:
    """Create a batch with up to 1,000 members, all or none. It always has an Idempotency-Key."""
    fields: dict[str, Any] = {"jobs": calls.job_fields(jobs, "batch.jobs[{}]"), "open": is_open}
    if name:
        fields["name"] = name
    if end_within is not None:
        fields["end_within"] = whole_seconds(end_within, "end_within")
    for callback, job in callbacks.items():
        if job is not None:
            fields[callback] = _callback(callback, job)
    headers = {**calls.JSON, **current_trace(), "Idempotency-Key": key or uuid.uuid4().hex}
    return Call(Request("POST", _path(group), {"batch": fields}, headers=headers), _read_batch)


def add(group: str, batch: BatchOrId, jobs: Sequence[AnyNewJob], member: Job | None, key: str = "") -> Call[list[Job]]:
    """Add up to 1,000 members, all or none. `member`: a running one whose lease allows it, if the batch is closed."""
    body: dict[str, Any] = {"jobs": calls.job_fields(jobs, "jobs[{}]")}
    if member is not None:
        body.update(member=member.id, lease=member.lease)
    headers = {**calls.JSON, **current_trace(), "Idempotency-Key": key or uuid.uuid4().hex}
    return Call(Request("POST", f"{_path(group, batch)}/jobs", body, headers=headers), calls.read_jobs)


def get(group: str, batch: BatchOrId, wait_s: int = 0) -> Call[Batch]:
    """One batch. The broker waits for its end for up to `wait_s`, at most 30 s."""
    path = calls.target(_path(group, batch), [("wait", wait_s or "")])
    return Call(Request("GET", path, extra_s=wait_s), _read_batch)


def members(group: str, batch: BatchOrId, statuses: str | Sequence[str], n: int, cursor: str) -> Call[Page]:
    """A page of the members, by creation."""
    query = [*calls.list_query(statuses, None, {}, n), ("cursor", cursor)]
    return Call(Request("GET", calls.target(f"{_path(group, batch)}/jobs", query)), calls.read_page)


def change(group: str, batch: BatchOrId, verb: str) -> Call[Batch]:
    """Close or cancel a batch. A repeat changes nothing."""
    return Call(Request("POST", f"{_path(group, batch)}/{verb}"), _read_batch)


def retry(group: str, batch: BatchOrId, key: str = "") -> Call[Batch]:
    """Repeat the failed members in a new batch. It always has an Idempotency-Key."""
    headers = {**calls.JSON, "Idempotency-Key": key or uuid.uuid4().hex}
    return Call(Request("POST", f"{_path(group, batch)}/retry", headers=headers), _read_batch)


def parts(jobs: Iterable[AnyNewJob], key: str) -> tuple[list[AnyNewJob], list[tuple[list[AnyNewJob], str]]]:
    """The members of the first call; those of each further call, with its key."""
    first, *rest = [*calls.batches(jobs)] or [[]]
    return first, [(part, f"{key}-{number}" if key else "") for number, part in enumerate(rest, 1)]


def _callback(name: str, job: AnyNewJob) -> dict[str, Any]:
    """A callback as the API has it. A dict may have `group_name` besides the fields of NewJob."""
    if isinstance(job, NewJob):
        return calls.job_fields([job], f"batch.{name}")[0]
    own = {field: value for field, value in job.items() if field != "group_name"}
    group = {"group_name": job["group_name"]} if "group_name" in job else {}
    return {**calls.job_fields([own], f"batch.{name}")[0], **group}


def _path(group: str, batch: BatchOrId = "") -> str:
    batch_id = batch.id if isinstance(batch, Batch) else batch
    path = f"{calls.group_path(group)}/batches"
    return f"{path}/{calls.segment(batch_id, NotFound())}" if batch else path


def _read_batch(answer: calls.Answer) -> Batch:
    return calls.read(answer, lambda body: Batch.from_json(body["batch"]))
