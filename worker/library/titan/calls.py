"""The calls about jobs: for each the request, how to read its answer, and whether it may be sent again.

Nothing here sends anything. `Client` and `AsyncClient` do, and the client of the worker and of the command line, which
reads the answers as structs of its own.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Callable, Generic, NamedTuple, TypeVar, Union
from urllib.parse import quote, urlencode

from titan.answers import Headers, decode_object, not_titan
from titan.errors import Invalid, NotFound, TitanError
from titan.failing import Fail
from titan.jobs import Input, Job, NewJob, Seconds, whole_seconds
from titan.tracing import current_trace

T = TypeVar("T")
Query = Iterable["tuple[str, str | int]"]
AnyNewJob = Union[NewJob, Mapping[str, Any]]

_LOST = frozenset({"wrong_state", "lease_lost", "not_found"})
MAX_JOBS = 1000
"""The most jobs in one call."""
MAX_REASON, MAX_ERROR, MAX_NOTE = 256, 4096, 256
"""The most characters of a reason, of an error and of a note on the progress."""
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
    body: object = None
    """What is sent as JSON."""
    text: Any = None
    """What is sent in place of JSON: bytes, or for `AsyncSession` an asynchronous iterator of them."""
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
    return f"/groups/{segment(group, Invalid(words, fields='group_name'))}"


def jobs_path(group: str) -> str:
    """The path of the jobs of a group."""
    return f"{group_path(group)}/jobs"


def job_path(group: str, job_id: str) -> str:
    """The path of a job. Raises NotFound for an id that no path can have."""
    return f"{jobs_path(group)}/{segment(job_id, NotFound())}"


def enqueue(
    group: str, jobs: Iterable[AnyNewJob], key: str = "", *, is_durable: bool = False, wait_s: int = 0
) -> Call[list[Job]]:
    """Enqueue up to 1,000 jobs, all or none. It always has an Idempotency-Key, so a repeat enqueues nothing twice.

    `wait_s`: how long the broker waits for the end of the only job, up to 30 s. Raises Invalid for a text that is no
    Unicode text.
    """
    return enqueue_fields(
        group, job_fields(jobs, "jobs[{}]"), key or uuid.uuid4().hex, is_durable=is_durable, wait_s=wait_s
    )


def enqueue_fields(
    group: str, jobs: Sequence[object], key: str = "", *, is_durable: bool = False, wait_s: int = 0
) -> Call[list[Job]]:
    """The same for jobs as the API has them. Without a key it may not be repeated."""
    path = target(jobs_path(group), [("durable", 1 if is_durable else ""), ("wait", wait_s or "")])
    headers = {**JSON, **current_trace(), **({"Idempotency-Key": key} if key else {})}
    request = Request("POST", path, {"jobs": jobs}, headers=headers, extra_s=wait_s)
    return Call(request, read_jobs, may_repeat=bool(key))


def job_fields(jobs: Iterable[AnyNewJob], path: str) -> list[dict[str, Any]]:
    """New jobs as the API has them; `path`: that of each in the body. Raises Invalid for what is no Unicode text."""
    fields = [(job if isinstance(job, NewJob) else NewJob(**job)).to_json() for job in jobs]
    for number, job in enumerate(fields):
        for name, value in job.items():
            _check_text(f"{path.format(number)}.{name}", value)
    return fields


def batches(jobs: Iterable[AnyNewJob]) -> Iterator[list[AnyNewJob]]:
    """The jobs in batches of one call each."""
    rest = iter(jobs)
    while batch := list(islice(rest, MAX_JOBS)):
        yield batch


def get(group: str, job_id: str, wait_s: int = 0) -> Call[Job]:
    """One job. The broker waits for its end for up to `wait_s`, at most 30 s."""
    return Call(Request("GET", target(job_path(group, job_id), [("wait", wait_s or "")]), extra_s=wait_s), _read_job)


def page(group: str, query: Query) -> Call[Page]:
    """A page of the jobs of a group."""
    return Call(Request("GET", target(jobs_path(group), query)), read_page)


def list_query(
    statuses: str | Sequence[str], created_after: datetime | None, others: Mapping[str, str | int], n: int
) -> list[tuple[str, str | int]]:
    """The parameters of a list."""
    time = [("created_after", created_after.astimezone().isoformat())] if created_after else []
    given = [(name, value) for name, value in others.items() if value != ""]
    return [("n", n), *(("status", word) for word in _several(statuses)), *time, *given]


def cancel(group: str, job_id: str) -> Call[Job]:
    """Cancel a job. A cancelled one stays as it is."""
    return Call(Request("POST", f"{job_path(group, job_id)}/cancel"), _read_job)


def retry(group: str, job_id: str, *, has_dependants: bool = False) -> Call[Job]:
    """Make a job that repeats a finished one; the new job. A second one would be refused.

    `has_dependants`: repeat the jobs too that were cancelled since it did not succeed.
    """
    path = target(f"{job_path(group, job_id)}/retry", [("dependants", 1 if has_dependants else "")])
    return Call(Request("POST", path), _read_job, may_repeat=False)


def inputs(group: str, job_id: str) -> Call[list[Input]]:
    """What a job got from those that it waited for."""
    return Call(Request("GET", f"{job_path(group, job_id)}/inputs"), _read_inputs)


def promote(group: str, job_id: str) -> Call[Job]:
    """Queue a delayed job now."""
    return Call(Request("POST", f"{job_path(group, job_id)}/promote"), _read_job, may_repeat=False)


def delete(group: str, job_id: str) -> Call[None]:
    """Delete a finished job and its log."""
    return Call(Request("DELETE", job_path(group, job_id)), _read_nothing, done=(NotFound,))


def put_schedule(group: str, name: str, schedule: Mapping[str, Any]) -> Call[dict[str, Any]]:
    """Create or replace a schedule; the same one again changes nothing."""
    return Call(Request("PUT", _schedule_path(group, name), {"schedule": schedule}), _read_schedule)


def get_schedule(group: str, name: str) -> Call[dict[str, Any]]:
    """One schedule."""
    return Call(Request("GET", _schedule_path(group, name)), _read_schedule)


def run_schedule(group: str, name: str, overlap: str = "") -> Call[Job]:
    """Make the job of a schedule now. It has an Idempotency-Key, so a repeat makes no other job."""
    headers = {**JSON, "Idempotency-Key": uuid.uuid4().hex}
    body = {"overlap": overlap} if overlap else {}
    return Call(Request("POST", f"{_schedule_path(group, name)}/run", body, headers=headers), _read_job)


def remove_schedule(group: str, name: str) -> Call[None]:
    """Remove a schedule; its jobs stay."""
    return Call(Request("DELETE", _schedule_path(group, name)), _read_nothing, done=(NotFound,))


def log(group: str, job_id: str, tail: int | None = None, *, start: int = 0, is_followed: bool = False) -> Call[str]:
    """The log of a job: from byte `start` on, or its last lines. Bytes that are not UTF-8 are replaced.

    `is_followed`: the answer continues while the log grows.
    """
    query = [("follow", 1 if is_followed else ""), ("tail", "" if tail is None else tail), ("start", start or "")]
    return Call(Request("GET", target(f"{job_path(group, job_id)}/log", query)), _read_text)


def write_log(group: str, job_id: str, text: object, lease: str = "", *, is_more: bool = False) -> Call[Job]:
    """Store the log of a job in place of an earlier one. `text`: see `Request.text`.

    `is_more`: it is the first part of the log of a running job; the whole log follows later.
    """
    headers = {**TEXT, **({"Titan-Lease": lease} if lease else {})}
    path = target(f"{job_path(group, job_id)}/log", [("more", 1 if is_more else "")])
    return Call(Request("POST", path, text=text, headers=headers), _read_job)


def next_jobs(
    groups: Sequence[str], images: str | Sequence[str], n: int, wait_s: int, lease_s: int | None
) -> Call[list[Job]]:
    """Up to n jobs to run now. It is not repeated: the jobs of a lost answer come again when their leases end.

    `lease_s` None: the default of the broker. Raises Invalid for an empty name, which would mean every group or image.
    """
    images = _several(images)
    for field, names in (("group", groups), ("image", images)):
        if "" in names:
            raise Invalid(f"A name of {field} is empty. Leave it out to take jobs of every {field}.", fields=field)
    query: list[tuple[str, str | int]] = [("n", n), ("wait", wait_s), ("lease", "" if lease_s is None else lease_s)]
    query += [("group", group) for group in groups] + [("image", image) for image in images]
    return Call(Request("GET", target("/jobs", query), extra_s=wait_s), read_jobs, may_repeat=False)


def touch(items: Sequence[object]) -> Call[list[str]]:
    """Renew the leases of up to 1,000 jobs, as `held` has them; for each of them "", or why it is no longer held."""
    return Call(Request("POST", "/jobs/touch", {"jobs": items}), _read_outcomes)


def progress(group: str, job_id: str, lease: str = "", *, percent: int | None = None, note: str = "") -> Call[None]:
    """Renew the lease of a job, and say how far it is: 0 to 100 percent, and for people what it does now."""
    body = {"lease": lease, "progress": percent, "note": utf8(note)[:MAX_NOTE]}
    given = {name: value for name, value in body.items() if value not in {"", None}}
    return Call(Request("POST", f"{job_path(group, job_id)}/touch", given), _read_nothing)


def held(job: Job) -> dict[str, str]:
    """A job that this process holds, for `touch`."""
    return {"group_name": job.group_name, "id": job.id, "lease": job.lease}


def succeed(group: str, job_id: str, lease: str = "", *, result: object = None) -> Call[Job]:
    """Report a success, with what the job made, any JSON. Raises TypeError or ValueError for what is no JSON."""
    json.dumps(result, allow_nan=False)
    return _report(group, job_id, "success", lease, {} if result is None else {"result": result})


def fail(
    group: str,
    job_id: str,
    lease: str = "",
    *,
    reason: str = "",
    error: str = "",
    retry: bool = True,
    retry_after: Seconds | None = None,
) -> Call[Job]:
    """Report a failure, with a word for programs and a text for people.

    `retry` False: the job is not tried again. `retry_after`: the wait before the next try, if it has a retry policy.
    """
    fields: dict[str, object] = {"reason": reason, "error": error}
    fields = {name: text for name, text in fields.items() if text}
    if not retry:
        fields["retry"] = False
    if retry_after is not None:
        fields["retry_after"] = whole_seconds(retry_after, "retry_after")
    return _report(group, job_id, "error", lease, fields)


def failure(reason: str, error: str, *, retry: bool = True, retry_after: Seconds | None = None) -> dict[str, Any]:
    """The arguments of `fail` for any texts: what is too long, or cannot be sent, must not prevent a report."""
    return {
        "reason": utf8(reason)[:MAX_REASON],
        "error": utf8(error)[:MAX_ERROR],
        "retry": retry,
        "retry_after": retry_after,
    }


def failure_of(error: Fail) -> dict[str, Any]:
    """The arguments of `fail` for an exception by which a handler says how its job failed."""
    after = error.after
    after_s = after if after is None or isinstance(after, timedelta) else max(0, math.ceil(after))
    return failure(error.reason, str(error), retry=error.retry, retry_after=after_s)


def release(group: str, job_id: str, lease: str = "", *, delay: Seconds = 0, receipt: object = None) -> Call[Job]:
    """Give a job back to its queue, after a delay if given; the delivery is not counted."""
    fields = {"delay": whole_seconds(delay), **({} if receipt is None else {"receipt": receipt})}
    return _report(group, job_id, "release", lease, fields, may_repeat=False)


def wait_for(
    group: str, job_id: str, lease: str, after: Sequence[str], after_on: str = "over", receipt: object = None
) -> Call[Job]:
    """Give a job back until these jobs, ids, have ended. With a lease it may be repeated."""
    fields = {"after": list(after), "after_on": after_on, **({} if receipt is None else {"receipt": receipt})}
    return _report(group, job_id, "wait", lease, fields, may_repeat=bool(lease))


def target(path: str, query: Query) -> str:
    """The path with a query. A parameter without a value is left out."""
    given = [(name, value) for name, value in query if value != ""]
    return f"{path}?{urlencode(given)}" if given else path


def encode(body: object) -> bytes:
    """The body of a request as JSON."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def utf8(text: str) -> str:
    """The text, with what cannot be sent escaped: a report must not fail because of it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _report(
    group: str, job_id: str, verb: str, lease: str, fields: Mapping[str, object], *, may_repeat: bool = True
) -> Call[Job]:
    """Report a job, by the delivery with this lease if there is one."""
    body = {**fields, **({"lease": lease} if lease else {})}
    return Call(Request("POST", f"{job_path(group, job_id)}/{verb}", body), _read_job, may_repeat=may_repeat)


def _several(texts: str | Sequence[str]) -> Sequence[str]:
    """Several texts, or the only one."""
    return [texts] if isinstance(texts, str) else texts


def _check_text(part: str, value: object) -> None:
    """Raise Invalid for a text with half a surrogate pair, as texts from odd file names have."""
    try:
        (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise Invalid(f"{part} is no Unicode text: it has the character {half!a}.", fields=part) from None


def _schedule_path(group: str, name: str) -> str:
    words = "A schedule's name has 1 to 128 characters of A-Z a-z 0-9 _ . -."
    return f"{group_path(group)}/schedules/{segment(name, Invalid(words, fields='schedule'))}"


def segment(text: str, refusal: TitanError) -> str:
    """A text as a part of a path. Raises the refusal for one that would change the path, and TypeError."""
    if not isinstance(text, str):
        raise TypeError(f"A group and an id are texts, and not {type(text).__name__}: the id of a job is job.id.")
    try:
        quoted = quote(text, safe="")
    except UnicodeEncodeError:
        quoted = ""
    if quoted in {"", ".", ".."}:
        raise refusal
    return quoted


def _read_job(answer: Answer) -> Job:
    return read(answer, lambda body: Job.from_json(body["job"]))


def _read_schedule(answer: Answer) -> dict[str, Any]:
    return read(answer, lambda body: dict(body["schedule"]))


def read_jobs(answer: Answer) -> list[Job]:
    """The jobs of an answer."""
    return read(answer, lambda body: [Job.from_json(job) for job in body["jobs"]])


def _read_inputs(answer: Answer) -> list[Input]:
    return read(answer, lambda body: [Input.from_json(one) for one in body["inputs"]])


def read_page(answer: Answer) -> Page:
    """The page of an answer."""
    return read(answer, lambda body: Page([Job.from_json(job) for job in body["jobs"]], body.get("cursor", "")))


def _read_outcomes(answer: Answer) -> list[str]:
    return read(answer, lambda body: [_why_lost(item) for item in body["jobs"]])


def _why_lost(item: Mapping[str, Any]) -> str:
    """Why a job is no longer held; "" for an error that passes, too."""
    error = {} if item.get("ok") else item["error"]
    return str(error["message"]) if error.get("code") in _LOST else ""


def read(answer: Answer, convert: Callable[[dict[str, Any]], T]) -> T:
    """What an answer means. Raises BrokerUnavailable for what is no answer of Titan."""
    body = decode_object(answer.body, answer.url)
    try:
        return convert(body)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise not_titan(answer.url) from error


def _read_nothing(_: Answer) -> None:
    return None


def _read_text(answer: Answer) -> str:
    return answer.body.decode("utf-8", "replace")
