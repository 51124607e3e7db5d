"""`titan config`: shows each setting, its value, and where the value comes from."""

from typing import Any

import click
from msgspec import Struct

from broker.cli.broker import broker
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


class SettingRow(Struct, frozen=True, kw_only=True):
    """A row of the output. The value of a secret is hidden."""

    command: str
    setting: str
    value: Any
    source: Source
    variable: str
    description: str


@example("titan config", "titan config broker --port 9000")
@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@json_option
@click.argument("command", required=False, type=click.Choice(list(_COMMANDS)))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def config(context: click.Context, /, command: str | None, arguments: tuple[str, ...], *, as_json: bool) -> None:
    """Show the settings with which a broker and a worker would start now, and the source of each value.

    With a command and its options, show the settings of that command.
    """
    rows = [row for name in ([command] if command else _COMMANDS) for row in _rows(context, name, arguments)]
    with listing("settings", ("command", "setting", "value", "source", "variable"), _cells, as_json=as_json) as shown:
        shown.show(rows)


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
