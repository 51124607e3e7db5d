"""Settings of all groups together, and the bodies that show them."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

OrderName = Literal["fifo", "fair"]
Order = Annotated[
    OrderName,
    Meta(
        description="The order of jobs of one priority. fifo: the job that was queued first is the first, whichever "
        "group it is of. fair: groups take turns, of `weight` jobs each."
    ),
]


class Settings(Struct, frozen=True, kw_only=True):
    """The settings of all groups. PUT replaces all of them; a setting that is not given gets its default."""

    order: Order = "fifo"


class SettingsWrapper(Struct, frozen=True):
    """The settings."""

    settings: Settings
