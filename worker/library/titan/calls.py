"""The calls of the API: for each the request, how to read its answer, and whether it may be sent again.

Nothing here sends anything: `Client` and `AsyncClient` do.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Callable, Generic, NamedTuple, TypeVar, Union
from urllib.parse import quote, urlencode

from titan.answers import Headers, decode_object, not_titan
from titan.errors import Invalid, NotFound, TitanError
from titan.jobs import Job, NewJob, Seconds, whole_seconds

T = TypeVar("T")
Query = Iterable["tuple[str, str | int]"]
AnyNewJob = Union[NewJob, Mapping[str, Any]]

_HALF_PAIR = re.compile("[\ud800-\udfff]")
_LOST = frozenset({"wrong_state", "lease_lost", "not_found"})
MAX_JOBS = 1000
"""The most jobs in one call."""
JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}


class Answer(NamedTuple):
    """What the broker at `url` answered, below 300."""

    body: bytes
    headers: Headers
    url: str


NOTHING = Answer(b"", {}, "")
"""An answer without a body."""


class Request(NamedTuple):
    """One HTTP request. `target` is the path below /v1 with the query."""

    method: str
    target: str
    body: bytes | None = None
    headers: Mapping[str, str] = JSON
    extra_s: float = 0.0
    """How long the broker may wait before it answers, s: a long poll."""


class Call(Generic[T]):
    """A request, and what its answer means."""

    def __init__(
        self,
        request: Request,
        read: Callable[[Answer], T],
        *,
        may_repeat: bool = True,
        done: tuple[type[TitanError], ...] = (),
    ) -> None:
        self.request = request
        self.read = read
        self.may_repeat = may_repeat
        """Whether it may be sent again when it is not known whether it was carried out."""
        self.done = done
        """Errors of a repeat that mean that an earlier attempt was carried out."""


class Page(NamedTuple):
    """A page of a list. `cursor` is that of the next page; "" is the end."""

    jobs: list[Job]
    cursor: str


def group_path(group: str) -> str:
    """The path of a group. Raises Invalid for a name that no path can have."""
    words = "A group's name has 1 to 128 characters of A-Z a-z 0-9 _ -."
    return f"/groups/{_segment(group, Invalid(words, fields='group_name'))}"


def jobs_path(group: str) -> str:
    """The path of the jobs of a group."""
    return f"{group_path(group)}/jobs"


def job_path(group: str, job_id: str) -> str:
    """The path of a job. Raises NotFound for an id that no path can have."""
    return f"{jobs_path(group)}/{_segment(job_id, NotFound())}"


def enqueue(group: str, jobs: Sequence[AnyNewJob], key: str = "", *, is_durable: bool = False) -> Call[list[Job]]:
    """Enqueue up to 1,000 jobs, all or none. It always has an Idempotency-Key, so a repeat enqueues nothing twice.

    Raises Invalid for a text that is no Unicode text.
    """
    fields = [_new_job(job) for job in jobs]
    headers = {**JSON, "Idempotency-Key": key or uuid.uuid4().hex}
    query = [("durable", 1)] if is_durable else []
    try:
        body = _encode({"jobs": fields})
    except UnicodeEncodeError:
        raise _no_text(fields) from None
    return Call(Request("POST", _target(jobs_path(group), query), body, headers), _read_jobs)


def batches(jobs: Iterable[AnyNewJob]) -> Iterator[list[AnyNewJob]]:
    """The jobs in batches of one call each."""
    rest = iter(jobs)
    while batch := list(islice(rest, MAX_JOBS)):
        yield batch


def get(group: str, job_id: str) -> Call[Job]:
    """One job."""
    return Call(Request("GET", job_path(group, job_id)), _read_job)


def page(group: str, query: Query) -> Call[Page]:
    """A page of the jobs of a group."""
    return Call(Request("GET", _target(jobs_path(group), query)), _read_page)


def list_query(
    statuses: str | Sequence[str], created_after: datetime | None, others: Mapping[str, str | int], n: int
) -> list[tuple[str, str | int]]:
    """The parameters of a list."""
    words = [statuses] if isinstance(statuses, str) else list(statuses)
    time = [("created_after", created_after.astimezone().isoformat())] if created_after else []
    given = [(name, value) for name, value in others.items() if value != ""]
    return [("n", n), *(("status", word) for word in words), *time, *given]


def cancel(group: str, job_id: str) -> Call[Job]:
    """Cancel a job. A cancelled one stays as it is."""
    return Call(Request("POST", f"{job_path(group, job_id)}/cancel"), _read_job)


def retry(group: str, job_id: str) -> Call[Job]:
    """Make a job that repeats a finished one; the new job. A second one would be refused."""
    return Call(Request("POST", f"{job_path(group, job_id)}/retry"), _read_job, may_repeat=False)


def promote(group: str, job_id: str) -> Call[Job]:
    """Queue a delayed job now."""
    return Call(Request("POST", f"{job_path(group, job_id)}/promote"), _read_job, may_repeat=False)


def delete(group: str, job_id: str) -> Call[None]:
    """Delete a finished job and its log."""
    return Call(Request("DELETE", job_path(group, job_id)), _read_nothing, done=(NotFound,))


def log(group: str, job_id: str, tail: int | None = None) -> Call[str]:
    """The log of a job, or its last lines. Bytes that are not UTF-8 are replaced."""
    query = [("tail", "" if tail is None else tail)]
    return Call(Request("GET", _target(f"{job_path(group, job_id)}/log", query)), _read_text)


def write_log(group: str, job_id: str, text: str, lease: str = "") -> Call[Job]:
    """Store the log of a job in place of an earlier one."""
    headers = {**TEXT, **({"Titan-Lease": lease} if lease else {})}
    request = Request("POST", f"{job_path(group, job_id)}/log", _utf8(text).encode(), headers)
    return Call(request, _read_job)


def next_jobs(groups: Sequence[str], images: Sequence[str], n: int, wait_s: int, lease_s: int) -> Call[list[Job]]:
    """Up to n jobs to run now. It is not repeated: the jobs of a lost answer come again when their leases end.

    Raises Invalid for an empty name, which would mean every group or image.
    """
    for field, names in (("group", groups), ("image", images)):
        if "" in names:
            raise Invalid(f"A name of {field} is empty. Leave it out to take jobs of every {field}.", fields=field)
    query: list[tuple[str, str | int]] = [("n", n), ("wait", wait_s), ("lease", lease_s)]
    query += [("group", group) for group in groups] + [("image", image) for image in images]
    return Call(Request("GET", _target("/jobs", query), extra_s=wait_s), _read_jobs, may_repeat=False)


def touch(jobs: Sequence[Job]) -> Call[list[str]]:
    """Renew the leases of up to 1,000 jobs; for each of them "", or why it is no longer held."""
    items = [{"group_name": job.group_name, "id": job.id, "lease": job.lease} for job in jobs]
    return Call(Request("POST", "/jobs/touch", _encode({"jobs": items})), _read_outcomes)


def succeed(job: Job) -> Call[Job]:
    """Report a success."""
    body = {"lease": job.lease} if job.lease else {}
    return Call(Request("POST", f"{job_path(job.group_name, job.id)}/success", _encode(body)), _read_job)


def fail(job: Job, reason: str, error: str) -> Call[Job]:
    """Report a failure, with a word for programs and a text for people; too long ones are cut."""
    fields = {"reason": _utf8(reason)[:256], "error": _utf8(error)[:4096], "lease": job.lease}
    body = {name: value for name, value in fields.items() if value}
    return Call(Request("POST", f"{job_path(job.group_name, job.id)}/error", _encode(body)), _read_job)


def release(job: Job, delay: Seconds = 0) -> Call[Job]:
    """Give a job back to its queue; the delivery is not counted."""
    body = {"delay": whole_seconds(delay), **({"lease": job.lease} if job.lease else {})}
    request = Request("POST", f"{job_path(job.group_name, job.id)}/release", _encode(body))
    return Call(request, _read_job, may_repeat=False)


def _new_job(job: AnyNewJob) -> dict[str, Any]:
    return (job if isinstance(job, NewJob) else NewJob(**job)).to_json()


def _no_text(jobs: Sequence[Mapping[str, Any]]) -> Invalid:
    """The error for jobs of which one has half a surrogate pair, as texts from odd file names do."""
    texts = ((f"jobs[{number}].{name}", str(text)) for number, job in enumerate(jobs) for name, text in job.items())
    part, half = next((part, half) for part, text in texts for half in _HALF_PAIR.findall(text))
    return Invalid(f"{part} is no Unicode text: it has the character {half!a}.", fields=part)


def _segment(text: str, refusal: TitanError) -> str:
    """A text as a part of a path. Raises the refusal for one that would change the path."""
    try:
        quoted = quote(text, safe="")
    except UnicodeEncodeError:
        quoted = ""
    if quoted in {"", ".", ".."}:
        raise refusal
    return quoted


def _target(path: str, query: Query) -> str:
    given = [(name, value) for name, value in query if value != ""]
    return f"{path}?{urlencode(given)}" if given else path


def _encode(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _utf8(text: str) -> str:
    """The text, with what cannot be sent escaped: a report must not fail because of it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _read_job(answer: Answer) -> Job:
    return _read(answer, lambda body: Job.from_json(body["job"]))


def _read_jobs(answer: Answer) -> list[Job]:
    return _read(answer, lambda body: [Job.from_json(job) for job in body["jobs"]])


def _read_page(answer: Answer) -> Page:
    return _read(answer, lambda body: Page([Job.from_json(job) for job in body["jobs"]], body.get("cursor", "")))


def _read_outcomes(answer: Answer) -> list[str]:
    return _read(answer, lambda body: [_why_lost(item) for item in body["jobs"]])


def _why_lost(item: Mapping[str, Any]) -> str:
    """Why a job is no longer held; "" for an error that passes, too."""
    error = {} if item.get("ok") else item["error"]
    return str(error["message"]) if error.get("code") in _LOST else ""


def _read(answer: Answer, convert: Callable[[dict[str, Any]], T]) -> T:
    body = decode_object(answer.body, answer.url)
    try:
        return convert(body)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise not_titan(answer.url) from error


def _read_nothing(_: Answer) -> None:
    return None


def _read_text(answer: Answer) -> str:
    return answer.body.decode("utf-8", "replace")
