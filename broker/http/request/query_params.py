"""The parameters of the query: one struct for each route. The OpenAPI document uses the same structs."""

import re
from functools import cache, lru_cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints
from urllib.parse import parse_qsl

from msgspec import Meta, Struct

from broker.core.errors import Invalid
from broker.core.states import STATUSES, Status
from broker.http.request.decoding import convert
from broker.http.sentences import must_be, unknown
from broker.models.events import KINDS, EventKind
from broker.models.failures import MAX_FAILURE_LOOKS
from broker.models.fields import END, MAX_JOBS, CauseId, ErrorText, GroupName, Image, LeaseToken, Reason, Time, Timeout
from broker.models.flow import DEFAULT_FLOW_JOBS, MAX_FLOW_JOBS
from broker.models.jobs import MAX_LOOKS
from broker.models.overview import Only, Sort
from broker.models.retries import RetryAfter
from broker.models.scale import MOST_WORKERS
from broker.models.schedules import MOST_FIRES, SCHEDULE_NAME
from broker.models.stats import Window
from broker.models.waits import MAX_WAIT_S, WaitS
from broker.models.workers import Word

Cursor = Annotated[
    str, Meta(max_length=256, description="Where the list continues: the cursor of the previous answer.")
]
Page = Annotated[int, Meta(ge=1, le=MAX_JOBS, description="The most items in one answer.")]


class Query(Struct, frozen=True, kw_only=True):
    """No parameters. An unknown parameter is refused, one without a value counts as not given."""


class EnqueueQuery(Query, frozen=True, kw_only=True):
    """The parameters of enqueue."""

    durable: Annotated[int, Meta(ge=0, le=1, description="1: answer only when the jobs are on the store's disk.")] = 0
    wait: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_WAIT_S,
            description="How long to wait for the end of the job, in s; for one job only. Then the answer is 200 with "
            "the finished job, or 201 with the job as it is.",
        ),
    ] = 0


class ShowQuery(Query, frozen=True, kw_only=True):
    """The parameters of show."""

    wait: WaitS = 0


class RetryQuery(Query, frozen=True, kw_only=True):
    """The parameters of retry."""

    dependants: Annotated[
        int,
        Meta(ge=0, le=1, description="1: repeat the jobs too that were cancelled since this one did not succeed."),
    ] = 0


class ListQuery(Query, frozen=True, kw_only=True):
    """The parameters of list_jobs."""

    created_after: Annotated[Time, Meta(description="Only jobs created after this time, RFC 3339.")] | None = None
    n: Page = 50
    cursor: Cursor = ""
    status: Annotated[
        list[Status],
        Meta(
            max_length=len(STATUSES),
            description="Only jobs in this status. Given more than once: jobs in any of these, status by status in the "
            "order given; a job that changes its status between two pages may be missing or appear twice.",
        ),
    ] = []
    order: Annotated[Literal["asc", "desc"], Meta(description="Oldest first, or newest first.")] = "asc"
    fields: (
        Annotated[
            Literal["result"],
            Meta(description="result: each job has its result. Not with filters other than status and created_after."),
        ]
        | None
    ) = None

    created_before: Annotated[Time, Meta(description="Only jobs created before this time, RFC 3339.")] | None = None
    completed_after: (
        Annotated[Time, Meta(description="Only finished jobs that ended after this time, RFC 3339.")] | None
    ) = None
    completed_before: (
        Annotated[Time, Meta(description="Only finished jobs that ended before this time, RFC 3339.")] | None
    ) = None
    image: Annotated[Image, Meta(description="Only jobs of this image.")] = ""
    reason: Annotated[Reason, Meta(description="Only jobs with this reason.")] = ""
    cause: CauseId | None = None
    worker: Annotated[
        Word,
        Meta(description="Only jobs that this worker runs now, or that have a receipt of it."),
    ] = ""
    text: Annotated[str, Meta(max_length=256, description="Only jobs with this text in their payload.")] = ""
    retried: Annotated[int, Meta(ge=0, le=1, description="0: without jobs that were retried.")] = 1
    dead: Annotated[
        int, Meta(ge=0, le=1, description="1: only jobs that failed and were not retried. Not with status.")
    ] = 0
    looks: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=MAX_LOOKS,
                description="How many jobs to read at most for one answer with filters; 1000 if not given. `looked` "
                "says how many it was. A page with few jobs, or none, has a cursor while there are others.",
            ),
        ]
        | None
    ) = None
    brief: Annotated[int, Meta(ge=0, le=1, description="1: only the first 256 characters of each payload.")] = 0

    @property
    def is_look(self) -> bool:
        """Whether jobs must be read to know which ones are wanted, or how much of them."""
        return self != ListQuery(
            created_after=self.created_after,
            n=self.n,
            cursor=self.cursor,
            status=self.status,
            order=self.order,
            fields=self.fields,
        )


class NextQuery(Query, frozen=True, kw_only=True):
    """The parameters of next."""

    n: Annotated[int, Meta(ge=1, le=MAX_JOBS, description="The most jobs to deliver.")] = 1
    wait: Annotated[int, Meta(ge=0, le=30, description="How long to wait for a job when there is none, in s.")] = 0
    group: Annotated[list[GroupName], Meta(max_length=100, description="Only jobs of these groups.")] = []
    image: Annotated[
        list[Image],
        Meta(
            max_length=100,
            description="Only jobs of these images, searched among the first 200 of each group.",
        ),
    ] = []
    lease: (
        Annotated[Timeout, Meta(description="How long each lease lasts, in s; the job's timeout if not given.")] | None
    ) = None


class GroupsQuery(Query, frozen=True, kw_only=True):
    """The parameters of list_groups."""

    n: Page = 50
    cursor: Cursor = ""


class UniqueKeysQuery(Query, frozen=True, kw_only=True):
    """The parameters of list_unique_keys."""

    n: Page = 50
    cursor: Annotated[str, Meta(pattern=r"^\d{0,20}$", description="The cursor of the page before.")] = ""


class KeysQuery(Query, frozen=True, kw_only=True):
    """The parameters of list_keys."""

    n: Page = 50


class BatchesQuery(Query, frozen=True, kw_only=True):
    """The parameters of list_batches."""

    n: Page = 50
    cursor: Cursor = ""
    order: Annotated[Literal["asc", "desc"], Meta(description="Oldest first, or newest first.")] = "asc"


class MembersQuery(Query, frozen=True, kw_only=True):
    """The parameters of list_members."""

    n: Annotated[int, Meta(ge=1, le=MAX_JOBS, description="The most members to read for one answer.")] = 50
    cursor: Cursor = ""
    status: Annotated[
        list[Status],
        Meta(
            max_length=len(STATUSES),
            description="Only members in any of these statuses. A page may have fewer than n, or none, and a cursor.",
        ),
    ] = []


class SchedulesQuery(Query, frozen=True, kw_only=True):
    """The parameters of list_schedules."""

    n: Page = 50
    cursor: Annotated[str, Meta(pattern=rf"^({SCHEDULE_NAME})?{END}", description="The cursor of the page before.")] = (
        ""
    )


class TimesQuery(Query, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The parameters of next_times and preview_schedule."""

    n: Annotated[int, Meta(ge=1, le=MAX_JOBS, description="How many times.")] = 10
    from_: Annotated[Time, Meta(description="Only times after this one, RFC 3339. Now if not given.")] | None = None


class FiresQuery(Query, frozen=True, kw_only=True):
    """The parameters of list_fires."""

    n: Annotated[int, Meta(ge=1, le=MOST_FIRES, description="How many fires.")] = MOST_FIRES


class StatsQuery(Query, frozen=True, kw_only=True):
    """The parameters of the statistics."""

    window: Annotated[Window, Meta(description="1h: the last hour by minute. 24h: the last day by half hour.")] = "1h"


class GroupsStatsQuery(StatsQuery, frozen=True, kw_only=True):
    """The parameters of the statistics of several groups."""

    group: Annotated[
        list[GroupName],
        Meta(max_length=100, description="Only these groups. A token for a pattern of groups must name them."),
    ] = []


class ScaleQuery(Query, frozen=True, kw_only=True):
    """The parameters of scale."""

    target_s: Annotated[
        int, Meta(ge=1, le=86_400, description="Within how many seconds the jobs that wait should be finished.")
    ] = 60
    per_worker: Annotated[int, Meta(ge=1, le=10_000, description="How many jobs a worker runs at a time.")] = 8
    min: Annotated[int, Meta(ge=0, le=MOST_WORKERS, description="The fewest workers to ask for.")] = 0
    max: Annotated[int, Meta(ge=0, le=MOST_WORKERS, description="The most workers to ask for.")] = 1000
    ahead_s: Annotated[
        int, Meta(ge=0, le=86_400, description="Delayed jobs count that are due within this many seconds.")
    ] = 30


class GroupsScaleQuery(ScaleQuery, frozen=True, kw_only=True):
    """The parameters of scale for several groups."""

    group: Annotated[
        list[GroupName],
        Meta(max_length=100, description="The groups that the workers serve, one at least."),
    ] = []


class EventsQuery(Query, frozen=True, kw_only=True):
    """The parameters of listen."""

    group: Annotated[list[GroupName], Meta(max_length=100, description="Only events of these groups.")] = []
    kind: Annotated[list[EventKind], Meta(max_length=len(KINDS), description="Only events of these kinds.")] = []
    since: (
        Annotated[
            Time,
            Meta(description="Begin with the events since then that are kept. The header Last-Event-ID has priority."),
        ]
        | None
    ) = None
    format: Annotated[
        Literal["titan", "cloudevents"], Meta(description="cloudevents: each event as CloudEvents 1.0 in JSON.")
    ] = "titan"


class OverviewQuery(Query, frozen=True, kw_only=True):
    """The parameters of the overview."""

    n: Annotated[int, Meta(ge=1, le=200, description="The most groups in one answer.")] = 50
    cursor: Cursor = ""
    sort: Annotated[
        Sort,
        Meta(description="By what groups are sorted. failed: of the last hour; in and out: of the last five minutes."),
    ] = "oldest"
    order: (
        Annotated[
            Literal["asc", "desc"],
            Meta(description="Smallest or largest values first; asc for names and desc for the others if not given."),
        ]
        | None
    ) = None
    q: Annotated[str, Meta(max_length=128, description="Only groups with this text in their name.")] = ""
    only: Annotated[
        list[Only],
        Meta(
            max_length=4,
            description="Only groups that are failing (more than 5 % of the last hour), stuck (jobs wait for more than "
            "2 minutes and none is taken), paused, or busy (jobs run). Given more than once: any of these.",
        ),
    ] = []


class LiveQuery(Query, frozen=True, kw_only=True):
    """The parameters of watch."""

    view: Annotated[
        str,
        Meta(
            max_length=1000,
            description="What to watch: overview (with the parameters of its GET behind a ?), workers, group:NAME, "
            "job:NAME/ID, batch:NAME/ID or bulk:ID.",
        ),
    ] = ""


class FlowQuery(Query, frozen=True, kw_only=True):
    """The parameters of flow."""

    n: Annotated[int, Meta(ge=1, le=MAX_FLOW_JOBS, description="How many jobs to read at most, the nearest first.")] = (
        DEFAULT_FLOW_JOBS
    )


class FailuresQuery(Query, frozen=True, kw_only=True):
    """The parameters of failures."""

    looks: Annotated[
        int, Meta(ge=1, le=MAX_FAILURE_LOOKS, description="How many failed jobs to read at most, the newest first.")
    ] = MAX_FAILURE_LOOKS


class AnnounceQuery(Query, frozen=True, kw_only=True):
    """The parameters of announce."""

    wait: Annotated[
        int, Meta(ge=0, le=30, description="How long to wait for an order or a cancelled job when there is none, in s.")
    ] = 0
    seen: Annotated[str, Meta(max_length=64, description="`seen` of the previous answer.")] = ""


class WorkersQuery(Query, frozen=True, kw_only=True):
    """The parameters of list_workers."""

    n: Page = 50
    cursor: Cursor = ""


class BrokersQuery(WorkersQuery, frozen=True, kw_only=True):
    """The parameters of list_brokers."""


class BulksQuery(WorkersQuery, frozen=True, kw_only=True):
    """The parameters of list_bulks."""


class AuditQuery(WorkersQuery, frozen=True, kw_only=True):
    """The parameters of list_audit."""


class TailQuery(Query, frozen=True, kw_only=True):
    """The parameters of read_log."""

    tail: Annotated[int, Meta(ge=1, le=1_000_000, description="Only this many lines from the end.")] | None = None
    start: Annotated[int, Meta(ge=0, description="Only the log after this number of bytes; not with tail.")] = 0
    follow: Annotated[
        int, Meta(ge=0, le=1, description="1: continue with new output until the job's log is complete.")
    ] = 0


class LogQuery(Query, frozen=True, kw_only=True):
    """The parameters of log."""

    more: Annotated[
        int, Meta(ge=0, le=1, description="1: the beginning of the log of a running job; the whole log follows.")
    ] = 0


class FailQuery(Query, frozen=True, kw_only=True):
    """The parameters of fail, for clients that send no body."""

    reason: Reason | None = None
    error: ErrorText | None = None
    completed_at: Time | None = None
    lease: LeaseToken | None = None
    retry_after: RetryAfter | None = None


Parameters = TypeVar("Parameters", bound=Query)

MAX_PARAMETERS = 250

_ITEM = re.compile(r"^(\w+)\[[0-9]+\]", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,15}", re.ASCII)


@lru_cache(maxsize=1024)
def parse(kind: type[Parameters], query: str) -> Parameters:
    """The parameters of a raw query. Raises Invalid with the name of an invalid one."""
    if not query:
        return kind()
    types = _types(kind)
    texts: dict[str, list[str]] = {}
    for name, text in _pairs(query):
        if name not in types:
            raise unknown(name, list(types), what="parameter")
        texts.setdefault(name, []).append(text)
    try:
        return convert(kind, {name: _value(kind, name, given) for name, given in texts.items()})
    except Invalid as error:
        raise Invalid(_ITEM.sub(r"\1", error.message), fields=error.fields.partition("[")[0]) from None


def _pairs(query: str) -> list[tuple[str, str]]:
    """Names and values. A parameter without a value is left out."""
    try:
        return parse_qsl(query, errors="surrogateescape", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise Invalid(f"A query may have {MAX_PARAMETERS} parameters at most.") from None


def _value(kind: type[Query], name: str, texts: list[str]) -> Any:
    value_type = _types(kind)[name]
    for text in texts:
        _check_text(name, text)
    if value_type is list:
        return list(dict.fromkeys(texts))
    if len(texts) > 1:
        raise Invalid(f"{name} is given more than once.", fields=name)
    return _integer(kind, name, texts[0]) if value_type is int else texts[0]


def _integer(kind: type[Query], name: str, text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise Invalid(must_be(kind, name), fields=name)
    return int(text)


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{name} is not UTF-8.", fields=name) from None


@cache
def _types(kind: type[Query]) -> dict[str, type]:
    """The type of each parameter: int, list or str."""
    return {name.rstrip("_"): _type_of(hint) for name, hint in get_type_hints(kind).items()}


def _type_of(hint: Any) -> type:
    kinds = {int, list}.intersection([hint, getattr(hint, "__origin__", None), *get_args(hint)])
    return kinds.pop() if kinds else str
