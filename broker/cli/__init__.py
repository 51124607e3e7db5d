"""The command line `titan`. Each command stands in a module of its own, which is imported when it is asked for."""

import importlib
from typing import NamedTuple

import click

from broker.cli.commands import CommandGroup
from broker.cli.options import PREFIX


class Place(NamedTuple):
    """Where a command is found, and its line in `titan --help`."""

    module: str
    attribute: str
    summary: str


COMMANDS: dict[str, Place] = {
    "up": Place("broker.cli.up", "up", "Run all in one: a store, a broker, a worker and a sample."),
    "broker": Place("broker.cli.broker", "broker", "Run a broker: the HTTP front end and the reaper."),
    "worker": Place("broker.cli.worker", "worker", "Run a worker; list, quiet, resume and drain workers."),
    "job": Place("broker.cli.job", "job", "Enqueue, list, wait for, cancel, retry and delete jobs; read logs."),
    "group": Place("broker.cli.group", "group", "List, show, set, pause and resume groups."),
    "token": Place("broker.cli.token", "token", "Make tokens that a broker lets in."),
    "lua": Place("broker.cli.lua", "lua", "List the scripts, or print one, fit for redis-cli --eval."),
    "redis": Place("broker.cli.redis", "redis_", "Open redis-cli on the store."),
    "check": Place("broker.cli.check", "check", "Compare the store's sets, hashes, heads and timers; mend them."),
    "config": Place("broker.cli.config", "config", "Show the settings in force and where each came from."),
    "doctor": Place("broker.cli.doctor", "doctor", "Look whether the store is fit to keep jobs."),
    "openapi": Place("broker.cli.openapi", "openapi", "Print the API as an OpenAPI 3.1 document."),
    "bench": Place("broker.cli.bench", "bench_", "Measure a broker: jobs a second, waits, CPU and memory a job."),
    "test": Place("broker.cli.test", "test", "Run the tests of a source checkout."),
}


class Commands(CommandGroup):
    """A group whose commands are imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Their names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported; None when there is no such one."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        command: click.Command = getattr(importlib.import_module(place.module), place.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.summary) for name, place in COMMANDS.items()])


@click.group(
    cls=Commands,
    context_settings={"auto_envvar_prefix": PREFIX, "help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(package_name="titan-broker", prog_name="titan")
def main() -> None:
    """Titan, a job broker over HTTP, kept in Redis or Valkey. To try it: titan up."""
