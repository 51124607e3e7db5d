"""A job as a page: names and values. The longest payload lines are cut."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from broker.cli.moments import due_at, exact, seconds_between, span, when
from broker.cli.output import page
from broker.cli.policies import in_words
from broker.core.words import counted
from broker.models.jobs import Job, JobBatch, WaitsFor
from broker.models.unique import Unique
from broker.models.workers import Receipt

PAYLOAD_LINES = 5
"""How many lines of a payload a page has without --full."""
_LINE_LENGTH = 500
_NAMES = {"retry_at": "retried_by"}
"""The API's `retry_at` is the id of the retry, and reads like a time."""


def job_page(job: Job, *, is_full: bool = False) -> str:
    """The fields of a job that have a value, except its receipts."""
    return page([(_NAMES.get(name, name), _shown(job, name, is_full=is_full)) for name in job.__struct_fields__])


def job_json(job: Job) -> dict[str, Any]:
    """A job as JSON has it: the API's fields, and `retried_by` with the id of its retry."""
    fields: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(job, result=UNSET))
    if job.result is not UNSET:
        fields["result"] = msgspec.json.decode(job.result)
    return fields | ({"retried_by": job.retry_at} if job.retry_at else {})


def _shown(job: Job, name: str, *, is_full: bool) -> object:
    value = getattr(job, name)
    if value is UNSET or value == {} or name == "receipts":
        return UNSET
    if name in {"result", "payload"}:
        text = value if name == "payload" else bytes(value).decode()
        return text if is_full else cut_payload(text)
    if name in _IN_WORDS:
        return _IN_WORDS[name](value)
    if name.endswith(("_at", "_before")) and name != "retry_at":
        return _moment(job, name)
    return _span(job, name) if name in {"delay", "timeout", "retries_delay"} else value


def _moment(job: Job, name: str) -> str:
    at: str = getattr(job, name)
    if name == "completed_at" and job.started_at:
        return f"{when(at)}, took {span(max(0.0, seconds_between(job.started_at, at)))}"
    return when(at)


def _span(job: Job, name: str) -> str:
    text = exact(getattr(job, name))
    return (
        f"{text}, until {when(due_at(job))}"
        if name == "delay" and job.status == "delayed" and not (job.attempts or job.waits_for)
        else text
    )


def batch_text(batch: JobBatch) -> str:
    """The batch of a member: its id; of a callback with its name and the counts."""
    if not batch.callback or not batch.counts:
        return batch.id
    ends = {name: n for name, n in msgspec.structs.asdict(batch.counts).items() if name not in {"total", "over"} and n}
    words = ", ".join(f"{n} {name}" for name, n in ends.items()) or "no ends"
    return f"{batch.id}, {batch.callback} of {batch.counts.total}: {words}"


def wait_text(waits: WaitsFor) -> str:
    """What a held job waits for: `2 jobs`, `a place of acme`."""
    return counted(waits.jobs, "job") if waits.jobs else f"a place of {waits.key}"


def unique_text(unique: Unique) -> str:
    """The unique key of a job, and what else it says: `doc-7, on_conflict follow`."""
    more = msgspec.to_builtins(unique)
    return ", ".join([more.pop("key"), *(f"{name} {value}" for name, value in more.items())])


def cut_payload(payload: str) -> str:
    """The first lines of a payload, with a note on the rest."""
    lines = payload.splitlines()
    cut = [line if len(line) <= _LINE_LENGTH else f"{line[:_LINE_LENGTH]}…" for line in lines[:PAYLOAD_LINES]]
    if cut == lines:
        return payload
    size = len(payload.encode(errors="replace"))
    return "\n".join([*cut, f"… ({len(lines):,} lines, {size:,} bytes in all; --full shows them)"])


def ending(job: Job) -> str:
    """How a job ended: `ID failed after 0.2 s, bad_exit: exit code 3. Its retry is ID.`."""
    receipt = job.receipts[-1] if job.receipts else None
    time = ""
    if job.started_at and job.completed_at:
        time = f" after {span(max(0.0, seconds_between(job.started_at, job.completed_at)))}"
    exit_code = None if receipt is None else receipt.exit_code
    reasons = [job.reason or "", job.error or ("" if exit_code is None else f"exit code {exit_code}")]
    why = ": ".join(filter(None, reasons))
    retry = f" Its retry is {job.retry_at}." if job.retry_at else ""
    return f"{job.id} {job.status}{time}{', ' if why else ''}{why.rstrip('.')}.{retry}"


def receipt_line(receipt: Receipt) -> str:
    """A receipt as one line: `delivery 1: succeeded, worker w1, exit_code 0`."""
    values = msgspec.structs.asdict(receipt)
    first = f"delivery {values.pop('delivery')}: {values.pop('outcome')}"
    fields = [f"{name} {value}" for name, value in values.items() if value not in ("", None)]
    return ", ".join([first, *fields])


_IN_WORDS: dict[str, Callable[[Any], str]] = {
    "batch": batch_text,
    "dead_letter": lambda copy: f"{copy.id} in {copy.group_name}",
    "retry": in_words,
    "after": "\n".join,
    "waits_for": wait_text,
    "unique": unique_text,
    "env_vars": lambda variables: "\n".join(f"{name}={value}" for name, value in variables.items()),
}
