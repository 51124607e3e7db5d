"""Events: what happened to jobs, groups, bulks and workers, as listeners get it."""

from typing import Annotated, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from broker.models.fields import Time

EventKind = Literal[
    "enqueued",
    "taken",
    "succeeded",
    "failed",
    "requeued",
    "released",
    "cancelled",
    "retried",
    "promoted",
    "expired",
    "paused",
    "resumed",
    "bulk",
    "worker_seen",
    "worker_gone",
]
KINDS: tuple[EventKind, ...] = get_args(EventKind)
MOST_IDS = 20
"""The ids that one event has at most."""


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one broker did to jobs of one group within a tenth of a second."""

    group: Annotated[str, Meta(description="Left out of events about workers.")] = ""
    kind: EventKind
    n: Annotated[int, Meta(description="How many jobs, or how many times; left out if it is 1.")] = 1
    ids: Annotated[list[str], Meta(description="Of up to 20 of the jobs; of the bulk, or the names of workers.")] = []
    more: Annotated[
        int | UnsetType, Meta(description="How many more there are, whose ids are not here; left out if all are.")
    ] = UNSET
    at: Annotated[Time, Meta(description="When it was written, by the store's clock.")]
    by: Annotated[str, Meta(description="The name of the token, of what people do.")] = ""


class CloudEvent(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The same in the form of CloudEvents 1.0."""

    specversion: str = "1.0"
    id: str
    source: str = "/titan"
    type: str
    subject: str
    time: str
    datacontenttype: str = "application/json"
    data: Event
