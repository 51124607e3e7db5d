"""The options `--unique`, `--on-conflict` and the like, for commands that give a job a unique key."""

from collections.abc import Callable
from typing import Any, get_args

import click

from broker.cli.client_options import option
from broker.cli.quantities import Duration
from broker.models.unique import MAX_WAIT_DELAYS, OnConflict

_FOR_S, _MAX_WAIT_S = 31_536_000, 315_360_000
_FIELDS = {"unique_until": "until", "unique_for": "for", "on_conflict": "on_conflict", "max_wait": "max_wait"}
_OPTIONS = (
    option("--unique", help="Unique key: no other unfinished job of the group has it."),
    option(
        "--unique-until",
        type=click.Choice(["over", "started"]),
        help="With --unique: the job holds the key until it has ended (over, the default) or was delivered (started).",
    ),
    option(
        "--unique-for",
        type=Duration(1, _FOR_S),
        help="With --unique, in place of --unique-until: the job holds the key for this time from its creation on.",
    ),
    option(
        "--on-conflict",
        type=click.Choice(get_args(OnConflict)),
        help="With --unique: what the job does if another one has the key; the default is existing.",
    ),
    option(
        "--max-wait",
        type=Duration(1, _MAX_WAIT_S),
        help="With --on-conflict push: how long the job may be put off from its creation on; "
        f"the default is {MAX_WAIT_DELAYS} delays.",
    ),
)


def unique_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for a unique key to a command."""
    for add in reversed(_OPTIONS):
        command = add(command)
    return command


def with_unique(options: dict[str, Any]) -> dict[str, Any]:
    """The options with the field `unique` as the API has it. Raises UsageError for others that need --unique."""
    rest = {name: value for name, value in options.items() if name not in _FIELDS}
    given = {name: options[name] for name in _FIELDS if options.get(name) is not None}
    key = rest.pop("unique", None)
    if key is not None:
        return rest | {"unique": {"key": key} | {_FIELDS[name]: value for name, value in given.items()}}
    for name in given:
        raise click.UsageError(f"--{name.replace('_', '-')} is for a job with --unique.")
    return rest
