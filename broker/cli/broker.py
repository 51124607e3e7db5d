"""`titan broker`: runs a broker until a signal stops it."""

from typing import TYPE_CHECKING

import click

from broker.cli.event_loop import log_to_stderr, run
from broker.cli.options import example, settings_from, settings_options
from broker.cli.process_setup import prepare_to_serve
from broker.core.settings import BrokerSettings

if TYPE_CHECKING:
    from broker.cli.process_setup import Terminal
    from broker.service.broker import Serving
    from broker.service.supervisor import Ready


@example("titan broker --port 8080", "TITAN_REDIS_URL=redis://localhost:6379/0 titan broker --host 0.0.0.0")
@click.command()
@settings_options(BrokerSettings)
@click.pass_context
def broker(context: click.Context, /, **_: object) -> None:
    """Run a broker (the HTTP front end and the reaper) until SIGTERM or Ctrl-C.

    The broker answers requests in progress before it exits. Without --redis-url it starts an embedded Valkey in the
    data folder; a second broker with the same folder uses the same Valkey. With --processes N it runs N brokers on one
    port, and restarts one that dies. SIGHUP reloads tokens and certificates. Closing the terminal stops the broker.
    """
    terminal = prepare_to_serve()
    settings = settings_from(context, BrokerSettings)
    log_to_stderr(settings.log_level)
    if settings.processes == 1:
        run(_serve(settings, terminal), terminal)
    else:
        from broker.service.supervisor import serve_many

        context.exit(run(serve_many(settings, _print_address, terminal.is_closed), terminal))


async def _serve(settings: BrokerSettings, terminal: "Terminal") -> None:
    from broker.service.broker import serve, stop_signals

    await serve(settings, _print_address, stop_signals(), is_hung_up=terminal.is_closed)


def _print_address(serving: "Serving | Ready") -> None:
    click.echo(f"Titan serves on {serving.url}; look into its store with: {serving.redis_cli}", err=True)
