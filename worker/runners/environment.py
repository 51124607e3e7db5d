"""The environment of a job: a safe part of that of the worker, env_vars of the group, and variables of Titan."""

import os
from collections.abc import Mapping

import msgspec

from broker.models.jobs import Job
from titan.tracing import Trace, trace_of

_encode = msgspec.json.Encoder().encode


def environment_of(job: Job, inherited: Mapping[str, str]) -> dict[str, str]:
    """Later ones win: variables of the worker, env_vars of the group, then TITAN_JOB_ID and the like.

    TRACEPARENT and TRACESTATE are the carriers of OpenTelemetry.
    """
    batch = batch_text(job)
    scheduled: dict[str, str] = {}
    if job.schedule and job.scheduled_for:
        scheduled = {"TITAN_SCHEDULE": job.schedule, "TITAN_SCHEDULED_FOR": job.scheduled_for}
    return {
        **inherited,
        **(job.env_vars or {}),
        "TITAN_JOB_ID": job.id,
        "TITAN_GROUP": job.group_name,
        "TITAN_DELIVERY": str(job.deliveries),
        "TITAN_IMAGE": job.image,
        **({"TITAN_LEASE": job.lease} if job.lease else {}),
        **({"TITAN_BATCH": batch} if batch else {}),
        **scheduled,
        **{name.upper(): text for name, text in trace_fields(job).items()},
    }


def trace_of_job(job: Job) -> Trace:
    """The trace context of a job."""
    return trace_of(job.traceparent or "", job.tracestate or "")


def trace_fields(job: Job) -> dict[str, str]:
    """The trace context of a job by the names of W3C's headers; empty without one."""
    return trace_of_job(job).fields()


def batch_text(job: Job) -> str:
    """The batch that a job is a member or a callback of, as JSON; '' for none."""
    return _encode(job.batch).decode() if job.batch else ""


def as_bytes(environment: Mapping[str, str]) -> dict[bytes, bytes]:
    """The environment as bytes: those of the worker unchanged, texts of a job as UTF-8.

    Raises ValueError for a name or value that no environment can have.
    """
    return {_as_bytes(name): _as_bytes(value) for name, value in environment.items()}


def _as_bytes(text: str) -> bytes:
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:  # the locale of this process lacks some characters
        return text.encode()
