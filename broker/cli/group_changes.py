"""What `titan group set` changes: PUT replaces all settings, so those in force are read, changed and sent back.

Two people who set the same group at the same moment may undo each other's change.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import click
import msgspec
from msgspec import UNSET

from broker.cli.client_options import given
from broker.models.groups import Group, GroupSettings, Retentions

CHANGEABLE = tuple(name for name in GroupSettings.__struct_fields__ if name in Group.__struct_fields__)
"""The settings that a group shows, by their names in the API."""

_DEFAULTS = Group(name="", created_at="")


class Changes(NamedTuple):
    """New values of settings, variables to set and to take away, and settings that go back to their defaults."""

    values: Mapping[str, Any]
    retention: Mapping[str, int] = {}
    env: Mapping[str, str] = {}
    unset_env: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Self:
        """The changes that a command's options ask for. Raises UsageError when there are none."""
        keep = {name: options[f"keep_{name}"] for name in Retentions.__struct_fields__}
        changes = cls(
            _given({name: options[name] for name in CHANGEABLE if name in options}),
            _given(keep),
            dict(_variable(text) for text in options["env"]),
            options["unset_env"],
            options["unset"],
        )
        if not any(changes):
            raise click.UsageError("There is nothing to set; see --help.")
        return changes

    def applied(self, before: GroupSettings) -> GroupSettings:
        """The settings after the changes. Raises UsageError, naming the field, for a value out of bounds."""
        settings = _given(msgspec.to_builtins(before))
        for name in self.unset:
            settings.pop(name, None)
        env_vars = settings.get("env_vars", {}) | dict(self.env)
        for name in self.unset_env:
            env_vars.pop(name, None)
        retention = settings.get("retention", {}) | dict(self.retention)
        maps = {"env_vars": env_vars or None, "retention": retention or None}
        return given(GroupSettings, settings | maps | dict(self.values))


def in_force(group: Group) -> GroupSettings:
    """The settings of a group as one would have to send them; those at their defaults are left out."""
    values = {name: getattr(group, name) for name in CHANGEABLE}
    return GroupSettings(
        **{name: value for name, value in values.items() if value is not UNSET and value != getattr(_DEFAULTS, name)}
    )


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--env {text}: NAME=VALUE is expected.")
    return name, value
