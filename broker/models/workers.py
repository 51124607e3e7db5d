"""Workers: their announcements and receipts, and their orders. A worker without a heartbeat for a minute is removed."""

import re
from typing import Annotated, Literal, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType

from broker.models.fields import END, LINE, NO_CONTROLS, GroupName

KEPT_S = 60
"""How long a worker is known after its last heartbeat, in s."""
EVERY_S = 5
"""The interval of a worker's heartbeats, in s."""
MAX_WORKERS = 10_000
MAX_ASKED = 100
"""The most groups, and images, in an announcement."""
MAX_RUNNING = 100
"""The most ids of running jobs in an announcement; `busy` counts all."""

ENDING = "stopped"
"""The state in a worker's last announcement."""

WORKER_NAME = r"[A-Za-z0-9._-]{1,128}"

WorkerName = Annotated[
    str,
    Meta(
        pattern=f"^{WORKER_NAME}{END}",
        description="Name of the worker; no other worker has it.",
        extra={"words": "the name of a worker: 1 to 128 characters of A-Z a-z 0-9 . _ -"},
    ),
]
Word = Annotated[str, Meta(max_length=255, pattern=NO_CONTROLS, extra=LINE)]
ReceiptWord = Annotated[str, Meta(max_length=255, extra_json_schema={"pattern": NO_CONTROLS}, extra=LINE)]
"""A text of which one call may have thousands. The decoder checks no pattern: that would take longer than the rest."""
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Total = Annotated[int, Meta(ge=0, le=2**53)]
Order = Literal["quiet", "resume", "drain"]
"""quiet: take no jobs until resume. drain: take no jobs, let the running ones end, and stop."""
_NO_CONTROLS = re.compile(NO_CONTROLS)
State = Literal["working", "quiet", "draining", "stopped"]

Ms = Annotated[int, Meta(ge=0, le=2**53)]
Bytes = Annotated[int, Meta(ge=0, le=2**53)]


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one delivery used and how it ended, as its worker reports it. A job keeps its last five receipts."""

    worker: ReceiptWord = ""
    host: ReceiptWord = ""
    delivery: Count = 0
    outcome: Annotated[ReceiptWord, Meta(description="succeeded, failed, released or waited: set by the broker.")] = ""
    exit_code: Annotated[int, Meta(ge=-(2**31), le=2**31)] | None = None
    signal: Annotated[ReceiptWord, Meta(description="The signal that ended it, such as SIGKILL.")] = ""
    wait_ms: Annotated[Ms, Meta(description="From when the job was due until it was dispatched.")] = 0
    run_ms: Ms = 0
    max_rss_bytes: Bytes | None = None
    cpu_ms: Annotated[Ms, Meta(description="User and system time together.")] | None = None
    log_bytes: Annotated[Bytes, Meta(description="The size of its output.")] = 0
    note: Annotated[ReceiptWord, Meta(description="Why a job that succeeded has no result.")] = ""

    def __post_init__(self) -> None:
        """Raise ValueError with the name of a field that has a control character."""
        words = self.worker + self.host + self.outcome + self.signal + self.note
        if not words.isprintable() and _NO_CONTROLS.fullmatch(words) is None:
            names = ("worker", "host", "outcome", "signal", "note")
            raise ValueError(next(name for name in names if _NO_CONTROLS.fullmatch(getattr(self, name)) is None))


class Announcement(Struct, frozen=True, kw_only=True):
    """The heartbeat of a worker. One with the state `stopped` is its last: the worker is removed at once."""

    name: WorkerName
    host: Word
    version: Word = ""
    runner: Annotated[Word, Meta(description="How it runs jobs: process, container, http or python.")] = ""
    state: State = "working"
    slots: Annotated[Count, Meta(description="The most jobs that it runs at once.")] = 0
    busy: Annotated[Count, Meta(description="The number of jobs that it runs now.")] = 0
    running: Annotated[list[Word], Meta(max_length=MAX_RUNNING, description="The ids of up to 100 running jobs.")] = []
    groups: Annotated[
        list[GroupName],
        Meta(max_length=MAX_ASKED, description="The groups that it asks for; none: all, or more than 100."),
    ] = []
    images: Annotated[
        list[Word], Meta(max_length=MAX_ASKED, description="The images that it asks for; none: any, or more than 100.")
    ] = []
    since: Annotated[Word, Meta(description="When it started, RFC 3339; empty: not known.")] = ""
    finished: Annotated[Total, Meta(description="How many jobs it has reported since it started.")] = 0
    failed: Annotated[Total, Meta(description="How many of them failed.")] = 0
    done: Annotated[Count, Meta(description="The number of the last order that it has carried out; 0: none.")] = 0


class Departed(NamedTuple):
    """A worker that has stopped: its last announcement before that, and when it stopped, ms."""

    worker: Announcement
    at: int


class Orders(Struct, frozen=True, kw_only=True):
    """The response to an announcement: the order for the worker, if any, until it reports that order as `done`.

    With `?wait=` also the jobs that were cancelled. The worker sends `seen` with its next announcement.
    """

    number: int = 0
    order: Order | UnsetType = UNSET
    stop_grace_s: Annotated[
        float, Meta(description="How long after its timeout a job with a short lease may still be touched, in s.")
    ] = 15.0
    seen: (
        Annotated[
            str,
            Meta(description="The position in the notices: ?seen= of the next announcement."),
        ]
        | UnsetType
    ) = UNSET
    cancelled: (
        Annotated[list[str], Meta(description="Ids of jobs that were cancelled since `seen` while they ran.")]
        | UnsetType
    ) = UNSET
    has_gap: Annotated[bool, Meta(description="More may have been cancelled: touch the running jobs.")] | UnsetType = (
        UNSET
    )


class Worker(Struct, frozen=True, kw_only=True):
    """A worker: its last announcement, the time of that, and the order that it has not carried out yet."""

    name: str
    host: str
    version: str
    runner: str
    state: State
    slots: int
    busy: int
    running: list[str]
    groups: Annotated[list[str], Meta(description="The groups that it asks for; none: all.")] = []
    images: Annotated[list[str], Meta(description="The images that it asks for; none: any.")] = []
    since: Annotated[str, Meta(description="When it started, RFC 3339.")] | UnsetType = UNSET
    finished: Annotated[int, Meta(description="How many jobs it has reported since it started.")] | UnsetType = UNSET
    failed: Annotated[int, Meta(description="How many of them failed.")] | UnsetType = UNSET
    seen_at: Annotated[str, Meta(description="RFC 3339.", extra_json_schema={"format": "date-time"})]
    order: Order | UnsetType = UNSET


class WorkerWrapper(Struct, frozen=True):
    """One worker."""

    worker: Worker


class WorkersWrapper(Struct, frozen=True):
    """Workers by name; `cursor` if the list continues."""

    workers: list[Worker]
    cursor: str | UnsetType = UNSET
