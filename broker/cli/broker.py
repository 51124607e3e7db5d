"""`titan broker`: runs a broker until a signal stops it; `list` shows the brokers of a store."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import click

from broker.cli.client_options import with_broker
from broker.cli.commands import CommandGroup, TitanCommand
from broker.cli.event_loop import run
from broker.cli.moments import age, when, wide_option
from broker.cli.options import example, settings_from, settings_options, sources
from broker.cli.output import listing
from broker.cli.process_setup import prepare_to_serve
from broker.core.events import event
from broker.core.service_notifier import ServiceNotifier
from broker.core.settings import BrokerSettings
from broker.core.settings_schema import notify_socket
from broker.models.brokers import LiveBroker
from broker.models.doctor import Source
from broker.models.fields import MAX_JOBS
from worker.client import Client

if TYPE_CHECKING:
    from broker.cli.process_setup import Terminal
    from broker.service.broker import Serving
    from broker.service.supervisor import Ready


_log = logging.getLogger("broker.address")
_COLUMNS = ("name", "version", "address", "dialect", "since", "reads", "writes", "seen")


@example("titan broker list")
@click.command("list", cls=TitanCommand, short_help="List the brokers of the store.")
@wide_option
@with_broker
async def list_(client: Client, *, as_json: bool) -> None:
    """List the brokers of the store, with the layouts that they read and write."""
    with listing("brokers", _COLUMNS, _row, as_json=as_json) as shown:
        cursor, going = "", True
        while going:
            page = await client.brokers(MAX_JOBS, cursor)
            shown.show(page.brokers)
            cursor = page.cursor or ""
            going = cursor != ""
    if not as_json:
        click.echo(f"The store has layout {page.layout}.", err=True)


def _row(broker: LiveBroker) -> tuple[object, ...]:
    reads, writes = (" ".join(map(str, layouts)) for layouts in (broker.reads, broker.writes))
    first = (broker.name, broker.version, broker.address, broker.dialect)
    return *first, when(broker.since), reads, writes, age(broker.seen_at)


COMMANDS = (list_,)


@example("titan broker --port 8080", "TITAN_REDIS_URL=redis://localhost:6379/0 titan broker --host 0.0.0.0")
@click.group(cls=CommandGroup, invoke_without_command=True)
@settings_options(BrokerSettings)
@click.pass_context
def broker(context: click.Context, /, **_: object) -> None:
    """Run a broker (the HTTP front end and the reaper) until SIGTERM or Ctrl-C.

    The broker answers requests in progress before it exits. Without --redis-url it starts an embedded Valkey in the
    data folder; a second broker with the same folder uses the same Valkey. With --processes N it runs N brokers on one
    port, and restarts one that dies. SIGHUP reloads tokens and certificates. Closing the terminal stops the broker.
    systemd is notified when the broker serves and when it stops (Type=notify).
    """
    if context.invoked_subcommand is not None:
        return
    terminal = prepare_to_serve()
    settings = settings_from(context, BrokerSettings)
    from broker.cli.log_setup import log_to_stderr

    log_to_stderr(settings.log_level, settings.log_format)
    if settings.processes == 1:
        run(_serve(settings, terminal, sources(context, BrokerSettings)), terminal)
    else:
        from broker.service.supervisor import serve_many

        notifier = ServiceNotifier(notify_socket())
        found = sources(context, BrokerSettings)
        context.exit(
            run(
                serve_many(settings, _printer(settings), terminal.is_closed, notifier, found),
                terminal,
            )
        )


async def _serve(settings: BrokerSettings, terminal: "Terminal", found: Mapping[str, Source]) -> None:
    from broker.service.broker import serve, stop_signals

    notifier = ServiceNotifier(notify_socket())
    stop, is_hung_up = stop_signals(), terminal.is_closed
    await serve(
        settings,
        _printer(settings),
        stop,
        is_hung_up=is_hung_up,
        notifier=notifier,
        sources=found,
    )


def _printer(settings: BrokerSettings) -> "Callable[[Serving | Ready], None]":
    return partial(_print_address, settings.log_format)


def _print_address(log_format: str, serving: "Serving | Ready") -> None:
    """Say where it serves: a line for people, or an object among those of the log."""
    words = f"Titan serves on {serving.url}; look into its store with: {serving.redis_cli}"
    if log_format == "json":
        _log.info("%s", words, extra=event("broker.serving", url=serving.url))
    else:
        click.echo(words, err=True)


for _command in COMMANDS:
    broker.add_command(_command)
