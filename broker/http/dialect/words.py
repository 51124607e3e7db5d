"""Translates bodies, queries and errors between the words of 2016 and those of today."""

import re
from typing import Any, get_args

import msgspec
from msgspec import Raw

from broker.core.errors import Invalid
from broker.models.tasks import Reason2016

STATUSES = {"succeeded": "success", "failed": "error"}
"""The statuses that have another word, from today's word to that of 2016."""
_REASONS = frozenset(get_args(Reason2016))
_OTHER_REASON = "bad_exit"
_TASKS = {"jobs": "tasks", "job": "task"}
_JOBS = {task: job for job, task in _TASKS.items()}
_STATUS = re.compile(rf"(?<![^&])status=({'|'.join(STATUSES.values())})(?![^&])")
_TODAY = {old: today for today, old in STATUSES.items()}
_WORD = re.compile(r"\bjobs?\b")

_decode = msgspec.json.Decoder().decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


def body_of_2016(body: bytes, *, has_tasks: bool) -> bytes:
    """The body of an answer with jobs in the words of 2016. `has_tasks`: its wrapper is `task` or `tasks`."""
    fields = _decode(body)
    if "job" in fields:
        fields["job"] = _job_of_2016(fields["job"])
    if "jobs" in fields:
        fields["jobs"] = [_job_of_2016(job) for job in fields["jobs"]]
    return _encode({_TASKS.get(name, name): value for name, value in fields.items()} if has_tasks else fields)


def body_of_today(body: bytes) -> bytes:
    """The body of a request whose wrapper is `task` or `tasks` with today's wrapper.

    What is no JSON object stays as it is: the handler refuses it, or it is a form.
    """
    try:
        fields = _decode_fields(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return body
    return _encode({_JOBS.get(name, name): value for name, value in fields.items()})


def query_of_today(query: str) -> str:
    """The query of a list with today's statuses."""
    return _STATUS.sub(lambda found: f"status={_TODAY[found[1]]}", query)


def error_about_tasks(error: Invalid) -> Invalid:
    """The refusal of a field of `jobs` as one of `tasks`."""
    return Invalid(
        _WORD.sub(_task, error.message), fields=_WORD.sub(_task, error.fields), retry_after_s=error.retry_after_s
    )


def _task(found: re.Match[str]) -> str:
    return _TASKS[found[0]]


def _job_of_2016(job: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for field, value in job.items():
        shown[field] = value
        if field == "group_name":
            shown["name"] = value
    shown["status"] = STATUSES.get(job["status"], job["status"])
    reason = job.get("reason")
    if reason is not None and reason not in _REASONS:
        shown["reason"] = _OTHER_REASON
        shown.setdefault("error", reason)
    return shown
