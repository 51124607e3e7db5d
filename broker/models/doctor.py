"""What `titan doctor` and `GET /v1/doctor` say: conditions of the store, and the configuration of a broker."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Source = Literal["default", "environment", "command line"]

NO_SOURCES: Mapping[str, Source] = {}
"""The sources of settings where they are not known."""


class DoctorLine(Struct, frozen=True, kw_only=True):
    """One condition. `advice` is '' if it is met; `unknown`: the store does not show it."""

    about: str
    state: Literal["ok", "wrong", "unknown"]
    found: str
    advice: str = ""


class SettingInForce(Struct, frozen=True, kw_only=True):
    """One setting of the broker that answers. The value of a secret is hidden."""

    setting: str
    value: Any
    source: Annotated[Source, Meta(description="Where the value comes from.")]
    variable: Annotated[str, Meta(description="The environment variable that sets it.")]
    description: str


class Admitted(Struct, frozen=True, kw_only=True):
    """One token of the broker that answers: its name and what it may do, never the token."""

    name: str
    scopes: list[str]
    groups: list[str]


class DoctorReport(Struct, frozen=True):
    """The conditions of the store, the configuration in force at the broker that answers, and who may use it."""

    lines: list[DoctorLine]
    config: list[SettingInForce]
    access: Annotated[list[Admitted], Meta(description="The tokens by name. None at a broker without tokens.")] = []
