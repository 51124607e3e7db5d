"""Schedules: when a group gets a new job, and which one; and what became of their times."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from broker.models.fields import (
    END,
    MAX_JOBS,
    EndWithin,
    MaxRetries,
    NewImage,
    NewPayload,
    Note,
    Priority,
    RetriesDelay,
    StartWithin,
    Time,
    Timeout,
    TraceParent,
    TraceState,
)
from broker.models.jobs import NewJob
from broker.models.lanes import Key
from broker.models.retries import RETRY, Retry
from broker.models.unique import Unique

SCHEDULE_NAME = r"[A-Za-z0-9_.-]{1,128}"
DEFAULT_CATCH_UP_S = 86_400
MOST_SCHEDULES, MOST_IN_ALL = 1000, 100_000
"""The most schedules of a group, and of a partition."""
MOST_FIRES = 50
"""How many of the last fires of a schedule are kept."""
MOST_BACKFILLED = 1000

Overlap = Literal["skip", "queue", "queue_all", "cancel", "allow"]
OVERLAP = (
    "While a job of an earlier fire, or a retry of it, has not ended: no new job (`skip`); one job that waits for its "
    "end (`queue`); a job for each time, 100 at most, one after the other (`queue_all`); the earlier job is cancelled "
    "(`cancel`); or both run (`allow`)."
)
Cron = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        description="5 fields: minute, hour, day of the month, month, day of the week; 6 with seconds before them.",
    ),
]
At = Annotated[str, Meta(description="One time, RFC 3339.", extra_json_schema={"format": "date-time"})]
State = Literal["active", "paused", "done"]


class ScheduledJob(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The job that each fire makes: as one of enqueue, without times of its own and without other jobs."""

    image: NewImage | None = None
    payload: NewPayload | None = None
    timeout: Timeout | None = None
    priority: Priority | None = None
    max_retries: MaxRetries | None = None
    retries_delay: RetriesDelay | None = None
    start_within: StartWithin | None = None
    end_within: EndWithin | None = None
    retry: Annotated[Retry, Meta(description=RETRY)] | None = None
    unique: Unique | None = None
    key: Key | None = None
    traceparent: TraceParent | None = None
    tracestate: TraceState | None = None

    def as_new_job(self) -> NewJob:
        """The job as enqueue has it."""
        given = {name: getattr(self, name) for name in self.__struct_fields__ if getattr(self, name) is not None}
        return NewJob(**given)


class NewSchedule(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A schedule as a client gives it: exactly one of cron, every and at, and the job."""

    cron: (
        Annotated[
            Cron | Annotated[list[Cron], Meta(min_length=1, max_length=10)],
            Meta(description="Cron expressions, or a shorthand such as `@daily`; several count together."),
        ]
        | None
    ) = None
    every: Annotated[int, Meta(ge=1, le=31_536_000, description="A distance, s, counted from 1970 on.")] | None = None
    at: At | None = None
    offset: Annotated[int, Meta(ge=0, description="With `every`: how much later each time is, s.")] = 0
    zone: Annotated[str, Meta(min_length=1, max_length=64, description="The time zone of cron, an IANA name.")] = "UTC"
    gap: Annotated[
        Literal["run", "skip"],
        Meta(description="A local time that does not exist: fire right after the jump of the clock, or not at all."),
    ] = "run"
    jitter: Annotated[
        int, Meta(ge=0, le=3600, description="It fires later by a part of this, s; name and time decide.")
    ] = 0
    overlap: Annotated[Overlap, Meta(description=OVERLAP)] = "skip"
    missed: Annotated[
        Literal["one", "all", "none"],
        Meta(description="Of times that passed while no broker or store ran: fire for the latest, each, or none."),
    ] = "one"
    catch_up: Annotated[
        int, Meta(ge=0, le=31_536_000, description="Never fire for a time that passed longer ago, s.")
    ] = DEFAULT_CATCH_UP_S
    starts_at: Annotated[Time, Meta(description="It fires from then on.")] | None = None
    ends_at: Annotated[Time, Meta(description="It fires before then only.")] | None = None
    max_fires: Annotated[int, Meta(ge=1, le=1_000_000_000, description="After these jobs it is done.")] | None = None
    pause_after: Annotated[
        int, Meta(ge=0, le=1000, description="It pauses after this number of final failures in a row; 0: never.")
    ] = 0
    paused: Annotated[bool, Meta(description="If not given, a schedule that exists stays as it is.")] | None = None
    job: ScheduledJob


class SchedulePut(Struct, frozen=True):
    """The body of `PUT /v1/groups/{g}/schedules/{name}`."""

    schedule: NewSchedule


class Fire(Struct, kw_only=True):
    """What one time of a schedule came to, or several that were missed together."""

    scheduled_for: Time
    fired_at: Annotated[Time, Meta(description="When this was decided.")]
    what: Annotated[Literal["fired", "skipped", "missed"], Meta(description="`fired`: there is a job.")]
    why: (
        Annotated[
            Literal["overlap", "limit", "duplicate", "no_image", "paused", "gap", "missed"],
            Meta(
                description="Why there is no job: an earlier job had not ended; the group has too many jobs, or 100 "
                "wait; a job with the unique key exists; there is no image; the schedule was paused; the local time "
                "did not exist; or no broker ran."
            ),
        ]
        | UnsetType
    ) = UNSET
    by: Annotated[Literal["run", "backfill"], Meta(description="If it was by hand.")] | UnsetType = UNSET
    moved: Annotated[Literal["gap"], Meta(description="The local time did not exist.")] | UnsetType = UNSET
    job: Annotated[str, Meta(description="The id of the job, or of the one that was in the way.")] | UnsetType = UNSET
    retried_as: Annotated[str, Meta(description="The id of the last retry of the job.")] | UnsetType = UNSET
    outcome: (
        Annotated[
            Literal["succeeded", "failed", "cancelled", "replaced"],
            Meta(description="How the job ended; or that another schedule with the same unique key replaced it."),
        ]
        | UnsetType
    ) = UNSET
    times: (
        Annotated[int, Meta(description="For how many times it stands, of which it names the first.")] | UnsetType
    ) = UNSET


class FireCounts(Struct, kw_only=True):
    """How often a schedule did what; `failed` counts jobs that failed for good."""

    fired: int = 0
    skipped: int = 0
    missed: int = 0
    failed: int = 0


class Schedule(Struct, kw_only=True):
    """A schedule."""

    name: str
    group_name: str
    state: Annotated[State, Meta(description="`done`: it never fires again.")]
    next_at: Annotated[Time, Meta(description="Its next time, without jitter.")] | UnsetType = UNSET
    cron: str | list[str] | UnsetType = UNSET
    every: int | UnsetType = UNSET
    at: Time | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    zone: str
    gap: Literal["run", "skip"]
    jitter: int
    overlap: Overlap
    missed: Literal["one", "all", "none"]
    catch_up: int
    starts_at: Time | UnsetType = UNSET
    ends_at: Time | UnsetType = UNSET
    max_fires: int | UnsetType = UNSET
    pause_after: int
    job: ScheduledJob
    revision: Annotated[int, Meta(description="The number of its last change, for If-Match.")]
    created_at: Time
    updated_at: Time
    paused_at: Time | UnsetType = UNSET
    paused_by: Annotated[str, Meta(description="The name of the token.")] | UnsetType = UNSET
    paused_because: Annotated[str, Meta(description="Why it paused itself.")] | UnsetType = UNSET
    note: str | UnsetType = UNSET
    last: Annotated[Fire, Meta(description="Its last job.")] | UnsetType = UNSET
    counts: FireCounts


class ScheduleWrapper(Struct):
    """One schedule."""

    schedule: Schedule


class SchedulesWrapper(Struct):
    """Schedules; `cursor` if the list continues."""

    schedules: list[Schedule]
    cursor: str | UnsetType = UNSET


class Upcoming(Struct, kw_only=True):
    """A time at which a schedule fires."""

    at: Annotated[Time, Meta(description="Without jitter.")]
    local: Annotated[str, Meta(description="The same in the zone of the schedule.")]
    jitter: Annotated[int, Meta(description="How much later it fires, ms.")] = 0
    moved: Literal["gap"] | UnsetType = UNSET


class TimesWrapper(Struct):
    """The next times of a schedule."""

    times: list[Upcoming]
    words: (
        Annotated[list[str], Meta(description="Its cron expressions in words, in the order of `cron`.")] | UnsetType
    ) = UNSET


class FiresWrapper(Struct):
    """The last fires of a schedule, the newest first."""

    fires: list[Fire]


class PauseSchedule(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of pause."""

    note: Note | None = None


class RunSchedule(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of run."""

    overlap: Annotated[Overlap, Meta(description="In place of that of the schedule.")] | None = None


class Backfill(Struct, frozen=True, kw_only=True, rename={"from_": "from"}, forbid_unknown_fields=True):
    """The body of backfill: fire for the times from `from` to `to`, both included."""

    from_: At
    to: At
    overlap: Annotated[Overlap, Meta(description="`queue_all` if not given.")] | None = None


class Backfilled(Struct):
    """How many jobs a backfill made."""

    times: Annotated[int, Meta(ge=0, le=MAX_JOBS)]


SCHEDULE = f"^{SCHEDULE_NAME}{END}"
