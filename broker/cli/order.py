"""`titan order`: shows or sets the order in which groups are served."""

import click

from broker.cli.client_options import with_broker
from broker.cli.commands import EXIT_CODES, TitanCommand
from broker.cli.options import example
from broker.cli.output import show_json
from broker.models.settings import Settings, SettingsWrapper
from worker.client import Client

_MEANS = {
    "fifo": "the job that was queued first is the first, whichever group it is of",
    "fair": "groups take turns",
}


@example("titan order", "titan order fair && titan group set mail --weight 3")
@click.command(epilog=EXIT_CODES, cls=TitanCommand)
@click.argument("order", type=click.Choice(["show", "fifo", "fair"]), default="show", metavar="[show|fifo|fair]")
@with_broker
async def order(client: Client, order: str, *, as_json: bool) -> None:
    """Show or set the order in which groups are served.

    It is about jobs of one priority. fifo: the job that was queued first is the first, whichever group it is of.
    fair: groups take turns, of as many jobs as their weight says. Other brokers follow within 5 s.
    """
    settings = await client.settings()
    if order == "fifo":
        settings = await client.set_settings(Settings(order="fifo"))
    elif order == "fair":
        settings = await client.set_settings(Settings(order="fair"))
    if as_json:
        show_json(SettingsWrapper(settings))
    else:
        click.echo(f"{settings.order}: {_MEANS[settings.order]}")
