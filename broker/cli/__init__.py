"""The command line `titan`. Each command has its own module, which is imported only when that command runs."""

import importlib
from typing import NamedTuple

import click

from broker.cli.commands import CommandGroup
from broker.cli.options import PREFIX, example


class CommandEntry(NamedTuple):
    """The module and attribute of a command, and its line in `titan --help`."""

    module: str
    attribute: str
    summary: str


COMMANDS: dict[str, CommandEntry] = {
    "up": CommandEntry("broker.cli.up", "up", "Run a store, a broker, a worker and sample jobs, to try Titan."),
    "broker": CommandEntry("broker.cli.broker", "broker", "Run a broker (HTTP front end and reaper); list brokers."),
    "worker": CommandEntry("broker.cli.worker", "worker", "Run a worker; list, quiet, resume and drain workers."),
    "job": CommandEntry("broker.cli.job", "job", "Enqueue, list, show, wait for, retry and cancel jobs; read logs."),
    "flow": CommandEntry("broker.cli.flow", "flow", "Run jobs that wait for each other, and show them."),
    "batch": CommandEntry("broker.cli.batch", "batch", "Count the ends of jobs, and create jobs when they have ended."),
    "schedule": CommandEntry("broker.cli.schedule", "schedule", "Make jobs at certain times: cron, intervals, files."),
    "unique": CommandEntry("broker.cli.unique", "unique", "Show and free the unique keys of jobs."),
    "bulk": CommandEntry("broker.cli.bulk", "bulk", "Retry, cancel, delete or promote all jobs that match."),
    "group": CommandEntry("broker.cli.group", "group", "List, show, set, pause and resume groups."),
    "scale": CommandEntry("broker.cli.scale", "scale", "Say how many workers groups need, for autoscalers."),
    "order": CommandEntry("broker.cli.order", "order", "Serve groups by their oldest jobs, or in turns."),
    "audit": CommandEntry("broker.cli.audit", "audit", "List who did what: cancels, retries, settings, logins."),
    "top": CommandEntry("broker.cli.top", "top", "Show all groups on a screen that follows what happens."),
    "events": CommandEntry("broker.cli.events", "events", "Follow what happens to jobs, groups and workers."),
    "token": CommandEntry("broker.cli.token", "token", "Make, list and revoke tokens of clients and workers."),
    "context": CommandEntry("broker.cli.context", "context", "Name brokers, and choose the one that commands call."),
    "completion": CommandEntry("broker.cli.completion", "completion", "Print what completes commands in a shell."),
    "lua": CommandEntry("broker.cli.lua", "lua", "List the Lua scripts, or print one for redis-cli --eval."),
    "redis": CommandEntry("broker.cli.redis", "redis_", "Open redis-cli on the store."),
    "check": CommandEntry("broker.cli.check", "check", "Check that the store's data is consistent, and repair it."),
    "export": CommandEntry("broker.cli.export", "export", "Write all groups and jobs as NDJSON, to keep or to move."),
    "import": CommandEntry("broker.cli.import_", "import_", "Bring the groups and jobs of an export into a store."),
    "migrate": CommandEntry("broker.cli.migrate", "migrate", "Bring a store of an older layout to the present one."),
    "config": CommandEntry("broker.cli.config", "config", "Show each setting, its value and its source."),
    "doctor": CommandEntry("broker.cli.doctor", "doctor", "Check that the store is set up to keep jobs safely."),
    "openapi": CommandEntry("broker.cli.openapi", "openapi", "Print the API as an OpenAPI 3.1 document."),
    "bench": CommandEntry("broker.cli.bench", "bench_", "Measure a broker: jobs per second, latency, CPU and memory."),
    "test": CommandEntry("broker.cli.test", "test", "Run the tests of a source checkout."),
}


class Commands(CommandGroup):
    """A group that imports a command when it is needed, so that `titan --help` starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names of the commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command; None for an unknown name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@example("titan up", "titan job --help")
@click.group(
    cls=Commands,
    context_settings={"auto_envvar_prefix": PREFIX, "help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(package_name="titan-broker", prog_name="titan", allow_from_autoenv=False)
def main() -> None:
    """Run and use Titan, a job broker over HTTP that stores jobs in Redis or Valkey."""
