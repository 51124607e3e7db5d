"""The audit: who did what by hand, or by a program with a token."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from broker.models.fields import Time

MAX_IDS = 20
"""Ids that one entry has at most."""
KEPT = 10_000
"""Entries that the store keeps, about."""


class AuditEntry(Struct, frozen=True, kw_only=True):
    """An act, or the same act on several jobs within a tenth of a second."""

    at: Time
    act: Annotated[
        str,
        Meta(
            description="cancel, retry, delete, promote, configure, delete_group, order, bulk, free_key, schedule, "
            "reveal, login, login_failed, logout or end_session.",
        ),
    ]
    by: Annotated[str, Meta(description="The name of the token; none at a broker without tokens.")] | UnsetType = UNSET
    address: Annotated[str, Meta(description="Where the request came from.")] | UnsetType = UNSET
    group: str | UnsetType = UNSET
    ids: (
        Annotated[list[str], Meta(description="Up to 20 ids of jobs, or of a bulk; or the name of a worker.")]
        | UnsetType
    ) = UNSET
    n: Annotated[int, Meta(description="How many calls, or jobs of a bulk.")] = 1
    outcome: Annotated[str, Meta(description="ok, or the code of the refusal; of a bulk also how it ended.")] = "ok"
    detail: Annotated[str, Meta(description="More about it, such as the action of a bulk.")] | UnsetType = UNSET


class AuditWrapper(Struct, frozen=True):
    """Entries, the newest first; `cursor` if the list continues."""

    entries: list[AuditEntry]
    cursor: str | UnsetType = UNSET
