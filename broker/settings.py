"""How a settings struct meets the world: a field has a unit, a default, a line on what it does, a TITAN_ variable.

A process has one frozen struct. The command line is made from it (`broker.cli.options`), the environment files in
deploy/ are compared with it, and `titan config` shows it.
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple, get_type_hints

import msgspec
from msgspec import Struct


class Setting(NamedTuple):
    """One field of a settings struct."""

    name: str
    type: Any
    default: Any
    description: str
    secret: bool

    @property
    def variable(self) -> str:
        """The environment variable: TITAN_ and the name in capitals."""
        return f"TITAN_{self.name.upper()}"

    @property
    def option(self) -> str:
        """The command line's option."""
        return f"--{self.name.replace('_', '-')}"


def settings_of(struct: type[Struct]) -> list[Setting]:
    """The fields of a settings struct, in order. A `secret` field is never shown."""
    hints = get_type_hints(struct, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(struct):
        meta = next(m for m in hints[field.name].__metadata__ if isinstance(m, msgspec.Meta))
        secret = bool((meta.extra or {}).get("secret"))
        rows.append(Setting(field.name, hints[field.name].__origin__, field.default, meta.description or "", secret))
    return rows


def unknown_variables(known: set[str], environ: Mapping[str, str] | None = None) -> list[str]:
    """The TITAN_ variables that no setting has: a typo must stop a start, not be passed over."""
    present = os.environ if environ is None else environ
    return sorted(name for name in present if name.startswith("TITAN_") and name not in known)
