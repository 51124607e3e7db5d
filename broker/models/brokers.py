"""What a broker says of itself. One that is silent for 15 s is gone."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

KEPT_S = 15
"""How long a broker is known after it last announced itself, in s."""
EVERY_S = 5
"""How often a broker announces itself, in s."""


class BrokerAnnouncement(Struct, frozen=True, kw_only=True):
    """What a broker says of itself."""

    name: Annotated[str, Meta(description="Host and process.")]
    version: str
    address: Annotated[str, Meta(description="Where it listens.")]
    since: Annotated[str, Meta(description="When it started, RFC 3339.", extra_json_schema={"format": "date-time"})]
    reads: Annotated[list[int], Meta(description="Layouts of a store whose jobs it understands.")]
    writes: Annotated[list[int], Meta(description="Layouts in which it can keep a store.")]
    dialect: Annotated[str, Meta(description="The dialect that it speaks; empty: the API of today.")] = ""


class LiveBroker(BrokerAnnouncement, frozen=True, kw_only=True):
    """A broker as it last announced itself."""

    seen_at: Annotated[str, Meta(description="When that was, RFC 3339.", extra_json_schema={"format": "date-time"})]


class BrokersWrapper(Struct, frozen=True):
    """Brokers by name, and the number of the store's layout; `cursor` where the list continues."""

    brokers: list[LiveBroker]
    layout: Annotated[int | None, Meta(description="The number of the store's layout.")]
    cursor: str | UnsetType = UNSET
