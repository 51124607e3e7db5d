"""`titan config`: shows each setting, its value, and where the value comes from."""

from collections.abc import Iterator
from typing import Any

import click
from msgspec import Struct

from broker.cli.broker import broker
from broker.cli.commands import TitanCommand
from broker.cli.options import PREFIX, example, json_option, settings_from, sources
from broker.cli.output import listing
from broker.cli.worker import worker
from broker.core.settings import BrokerSettings
from broker.core.settings_schema import Setting, settings_of
from broker.models.doctor import Source
from worker.settings import WorkerSettings

_COMMANDS: dict[str, tuple[click.Command, type[Struct]]] = {
    "broker": (broker, BrokerSettings),
    "worker": (worker, WorkerSettings),
}


class _CommandName(click.Choice[str]):
    """The name of a command. An option in its place is refused with the order that is right."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name. Raises UsageError for an option of a command, and NoSuchOption for one that no command has."""
        if not value.startswith("-"):
            return super().convert(value, param, ctx)
        option = value.partition("=")[0]
        for name, (command, _) in _COMMANDS.items():
            if any(option in (*one.opts, *one.secondary_opts) for one in command.params):
                raise click.UsageError(f"Name the command first: titan config {name} {value} …", ctx=ctx)
        raise click.NoSuchOption(option, ctx=ctx)


class SettingRow(Struct, frozen=True, kw_only=True):
    """A row of the output. The value of a secret is hidden."""

    command: str
    setting: str
    value: Any
    source: Source
    variable: str
    description: str


class OptionRow(Struct, frozen=True, kw_only=True):
    """An option of a command, and its variable."""

    command: str
    option: str
    variable: str


@example("titan config", "titan config --all", "titan config broker --port 9000")
@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}, cls=TitanCommand)
@json_option
@click.option("--all", "every", is_flag=True, help="List the options of all commands with their variables instead.")
@click.argument("command", required=False, type=_CommandName(list(_COMMANDS)))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def config(
    context: click.Context, /, command: str | None, arguments: tuple[str, ...], *, every: bool, as_json: bool
) -> None:
    """Show the settings with which a broker and a worker would start now, and the source of each value.

    With a command and its options, show the settings of that command.
    """
    if every:
        options = list(_options(context.find_root()))
        with listing("options", ("command", "option", "variable"), _option_cells, as_json=as_json) as shown:
            shown.show(options)
        return
    try:
        rows = [row for name in ([command] if command else _COMMANDS) for row in _rows(context, name, arguments)]
    except click.UsageError as error:
        error.ctx = context  # otherwise the error has the usage of the command whose settings are asked for
        raise
    with listing("settings", ("command", "setting", "value", "source", "variable"), _cells, as_json=as_json) as shown:
        shown.show(rows)


def _options(context: click.Context) -> Iterator[OptionRow]:
    """The options of a command and of all below it that have a variable."""
    for option in context.command.params:
        variable = option.envvar if isinstance(option.envvar, str) else ""
        if isinstance(option, click.Option) and option.allow_from_autoenv and context.auto_envvar_prefix:
            variable = variable or f"{context.auto_envvar_prefix}_{str(option.name).upper()}"
        if isinstance(option, click.Option) and variable:
            yield OptionRow(command=context.command_path, option=option.opts[-1], variable=variable)
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None:
                yield from _options(click.Context(command, parent=context, info_name=name))


def _option_cells(row: OptionRow) -> tuple[str, ...]:
    return row.command, row.option, row.variable


def _rows(context: click.Context, name: str, arguments: tuple[str, ...]) -> list[SettingRow]:
    command, struct = _COMMANDS[name]
    parsed = command.make_context(name, list(arguments), parent=context.find_root(), auto_envvar_prefix=PREFIX)
    settings = settings_from(parsed, struct)
    by_name = sources(parsed, struct)
    return [
        _row(name, setting, getattr(settings, setting.name), by_name[setting.name]) for setting in settings_of(struct)
    ]


def _row(command: str, setting: Setting, value: Any, source: Source) -> SettingRow:
    return SettingRow(
        command=command,
        setting=setting.name,
        value="(hidden)" if setting.secret and value else value,
        source=source,
        variable=setting.variable,
        description=setting.description,
    )


def _cells(row: SettingRow) -> tuple[str, ...]:
    value = " ; ".join(row.value) if isinstance(row.value, tuple) else str(row.value)
    return (row.command, row.setting, value or "-", row.source, row.variable)
