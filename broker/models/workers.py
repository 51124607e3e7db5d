"""What workers tell a broker of themselves and their runs, and it them. One that is silent for a minute is gone."""

import re
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from broker.models.fields import END, LINE, NO_CONTROLS

KEPT_S = 60
"""How long a worker is known after it last announced itself, in s."""
EVERY_S = 5
"""How often a worker announces itself, in s."""
MAX_WORKERS = 10_000
MAX_RUNNING = 100
"""How many ids of running jobs an announcement has at most; `busy` counts all."""

ENDING = "stopped"
"""The state of a worker's last word."""

MAX_RECEIPTS = 5

WORKER_NAME = r"[A-Za-z0-9._-]{1,128}"

WorkerName = Annotated[
    str,
    Meta(
        pattern=f"^{WORKER_NAME}{END}",
        description="Name of the worker, its own alone.",
        extra={"words": "the name of a worker: 1 to 128 characters of A-Z a-z 0-9 . _ -"},
    ),
]
Word = Annotated[str, Meta(max_length=255, pattern=NO_CONTROLS, extra=LINE)]
ReceiptWord = Annotated[str, Meta(max_length=255, extra_json_schema={"pattern": NO_CONTROLS}, extra=LINE)]
"""A word of which a call may have thousands: a pattern for each would take longer than all else of reading them."""
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Order = Literal["quiet", "resume", "drain"]
"""quiet: take no jobs until resume. drain: take none, let those that run end, and stop."""
_NO_CONTROLS = re.compile(NO_CONTROLS)
State = Literal["working", "quiet", "draining", "stopped"]


Ms = Annotated[int, Meta(ge=0, le=2**53)]
Bytes = Annotated[int, Meta(ge=0, le=2**53)]


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a delivery left behind, as the worker that ran it tells it. A job keeps the last five of them."""

    worker: ReceiptWord = ""
    host: ReceiptWord = ""
    delivery: Count = 0
    outcome: Annotated[ReceiptWord, Meta(description="succeeded, failed or released: set by the broker.")] = ""
    exit_code: Annotated[int, Meta(ge=-(2**31), le=2**31)] | None = None
    signal: Annotated[ReceiptWord, Meta(description="The signal that ended it: SIGKILL.")] = ""
    wait_ms: Annotated[Ms, Meta(description="From when it was due until it was handed out.")] = 0
    run_ms: Ms = 0
    max_rss_bytes: Bytes | None = None
    cpu_ms: Annotated[Ms, Meta(description="User and system time together.")] | None = None
    log_bytes: Annotated[Bytes, Meta(description="How much it printed.")] = 0

    def __post_init__(self) -> None:
        """Raise ValueError with the name of a word that has a control character."""
        words = self.worker + self.host + self.outcome + self.signal
        if not words.isprintable() and _NO_CONTROLS.fullmatch(words) is None:
            names = ("worker", "host", "outcome", "signal")
            raise ValueError(next(name for name in names if _NO_CONTROLS.fullmatch(getattr(self, name)) is None))


class Announcement(Struct, frozen=True, kw_only=True):
    """What a worker says of itself. `stopped` is its last word: it is forgotten at once."""

    name: WorkerName
    host: Word
    version: Word = ""
    runner: Annotated[Word, Meta(description="What it runs jobs with: process, container, http or python.")] = ""
    state: State = "working"
    slots: Annotated[Count, Meta(description="How many jobs it runs at once at most.")] = 0
    busy: Annotated[Count, Meta(description="How many it runs now.")] = 0
    running: Annotated[list[Word], Meta(max_length=MAX_RUNNING, description="The ids of up to 100 of them.")] = []
    done: Annotated[Count, Meta(description="The number of the last order that it carried out; 0: none.")] = 0


class Orders(Struct, frozen=True, kw_only=True):
    """The answer to an announcement: what somebody wants of the worker, if anything, until it says that it is done.

    With `wait` also what was cancelled. A worker that waits again sends `seen` back.
    """

    number: int = 0
    order: Order | UnsetType = UNSET
    stop_grace_s: Annotated[
        float, Meta(description="How long after its timeout a job with a short lease may still be touched, in s.")
    ] = 15.0
    seen: (
        Annotated[str, Meta(description="Up to where this tells of cancelled jobs: ?seen= of the next one.")]
        | UnsetType
    ) = UNSET
    cancelled: (
        Annotated[list[str], Meta(description="Ids of jobs that were cancelled since `seen` while anybody ran them.")]
        | UnsetType
    ) = UNSET
    has_gap: (
        Annotated[bool, Meta(description="More may have been cancelled: touch what you run, and see.")] | UnsetType
    ) = UNSET


class Worker(Struct, frozen=True, kw_only=True):
    """A worker as it last said, when that was, and the order that it has not carried out yet."""

    name: str
    host: str
    version: str
    runner: str
    state: State
    slots: int
    busy: int
    running: list[str]
    seen_at: Annotated[str, Meta(description="RFC 3339.", extra_json_schema={"format": "date-time"})]
    order: Order | UnsetType = UNSET


class WorkerWrapper(Struct, frozen=True):
    """One worker."""

    worker: Worker


class WorkersWrapper(Struct, frozen=True):
    """Workers by name; `cursor` where the list goes on."""

    workers: list[Worker]
    cursor: str | UnsetType = UNSET
