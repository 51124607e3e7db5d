"""The history of a job: what happened to it, in order."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from broker.core.states import Status
from broker.models.fields import Time
from broker.models.jobs import WaitsFor
from broker.models.workers import Receipt

What = Literal[
    "created",
    "due",
    "taken",
    "lease_lost",
    "late",
    "released",
    "waited",
    "promoted",
    "succeeded",
    "failed",
    "cancelled",
    "retried",
]


class JobEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event. What is not known, or does not apply, is left out."""

    at: Time
    what: What
    by: Annotated[str, Meta(description="The name of the token; of `taken` the worker, if its receipt is known.")] = ""
    delivery: Annotated[int, Meta(description="Which delivery began or ended.")] = 0
    from_: Status | None = field(default=None, name="from")
    to: Status | None = None
    reason: Annotated[str, Meta(description="Of an end, or a failure that was forgiven: why.")] = ""
    job: Annotated[str, Meta(description="The job that this one retries, or the one that retries it.")] = ""
    waits_for: (
        Annotated[WaitsFor, Meta(description="Of the last event of a job that is held: what it waits for now.")] | None
    ) = None
    receipt: Annotated[Receipt, Meta(description="What the worker reported of the delivery that ended.")] | None = None


class History(Struct, frozen=True):
    """The events of a job, the oldest first."""

    events: list[JobEvent]
    is_whole: Annotated[
        bool, Meta(description="Whether nothing is missing: a job keeps its last 10 rare events and 5 receipts.")
    ]
