"""Verbs for jobs by their ids, or for all jobs of a group that match: `titan job retry|cancel|promote|delete`."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import click
from click.core import ParameterSource

from broker.cli.bulk import begin_bulk
from broker.cli.bulk_options import bulk_options
from broker.cli.client_options import option, with_broker
from broker.cli.commands import EXIT_CODES, TitanCommand
from broker.cli.options import example
from broker.models.bulk import DEFAULTS, Action
from worker.client import Client

ByIds = Callable[..., Awaitable[int]]
"""A coroutine for the ids of a group: `(client, group, job_ids, as_json=…)`, the exit code."""


def by_ids_or_filters(action: Action, *examples: str) -> Callable[[ByIds], click.Command]:
    """Make a command of a coroutine for ids. With --group it begins a bulk instead."""

    def decorate(by_ids: ByIds) -> click.Command:
        async def run(
            client: Client, names: tuple[str, ...], group: str | None, *, as_json: bool, **options: Any
        ) -> int:
            if group is not None:
                if names:
                    raise click.UsageError("Give GROUP and ids, or --group and filters, not both.")
                return await begin_bulk(client, action, group, options, as_json=as_json)
            _check_ids(names, options)
            return await by_ids(client, names[0], names[1:], as_json=as_json)

        run.__doc__ = f"{inspect.cleandoc(by_ids.__doc__ or '')}\n\n{_about_filters(action)}"
        of_group = option("--group", metavar="GROUP", help="All jobs of this group that match the filters below.")
        arguments = click.argument("names", metavar="[GROUP ID...]", nargs=-1)
        command = click.command(action, epilog=EXIT_CODES, cls=TitanCommand)
        return example(*examples)(command(arguments(of_group(bulk_options(action)(with_broker(run))))))

    return decorate


def _about_filters(action: Action) -> str:
    return (
        "With --group instead of ids it acts on all jobs of the group that match, by default on those that are "
        f"{', '.join(DEFAULTS[action])}. First it counts the jobs and asks; with --dry-run it only counts. The broker "
        "does the work, as with `titan bulk`."
    )


def _check_ids(names: tuple[str, ...], options: Mapping[str, Any]) -> None:
    context = click.get_current_context()
    given = [name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given:
        words = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise click.UsageError(f"{words} is for the jobs of a group, which --group names.")
    if len(names) < 2:
        raise click.UsageError("Give GROUP and ids, or --group and filters.")
