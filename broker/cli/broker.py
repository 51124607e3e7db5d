"""`titan broker`: one broker, until it is told to stop."""

from typing import TYPE_CHECKING

import click

from broker.cli.event_loop import log_to_stderr, run
from broker.cli.options import example, settings_from, settings_options
from broker.cli.starting import begin
from broker.core.settings import BrokerSettings

if TYPE_CHECKING:
    from broker.cli.terminal import Terminal
    from broker.service.broker import Serving
    from broker.service.supervisor import Ready


@click.command(
    epilog=example("titan broker --port 8080", "TITAN_REDIS_URL=redis://localhost:6379/0 titan broker --host 0.0.0.0")
)
@settings_options(BrokerSettings)
@click.pass_context
def broker(context: click.Context, /, **_: object) -> None:
    """Run a broker until SIGTERM or Ctrl-C: the HTTP front end and the reaper.

    Requests in progress are answered before it ends. Without --redis-url it starts a Valkey of its own in the data
    folder; a second broker on the same folder joins it. With --processes N it runs N brokers on the one port, and
    starts one that died again. SIGHUP reads tokens and certificates again; a terminal that is closed stops it.
    """
    terminal = begin()
    settings = settings_from(context, BrokerSettings)
    log_to_stderr(settings.log_level)
    if settings.processes == 1:
        run(_serve(settings, terminal), terminal)
    else:
        from broker.service.supervisor import serve_many

        context.exit(run(serve_many(settings, _say, terminal.is_closed), terminal))


async def _serve(settings: BrokerSettings, terminal: "Terminal") -> None:
    from broker.service.broker import serve, stop_signals

    await serve(settings, _say, stop_signals(), is_hung_up=terminal.is_closed)


def _say(serving: "Serving | Ready") -> None:
    click.echo(f"Titan serves on {serving.url}; look into its store with: {serving.redis_cli}", err=True)
