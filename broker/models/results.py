"""The outcome of a call, or of one item of a bulk call."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from broker.models.fields import Time


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error. `fields` names the invalid part of the request."""

    message: str
    fields: str = ""
    code: str = field(default="internal")
    doc: Annotated[str, Meta(description="Where a broker with pages describes the error, as a path.")] = ""


class ProblemWrapper(Struct, frozen=True):
    """The body of every response with a status of 400 and above."""

    error: Problem


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of one item of a bulk call: `ok` or `error`."""

    id: str
    ok: bool = False
    expires_at: Time | UnsetType = UNSET
    error: Problem | UnsetType = UNSET


class Outcomes(Struct, frozen=True):
    """One outcome for each item, in order."""

    jobs: list[Outcome]
