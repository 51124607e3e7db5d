"""`titan worker list|status|quiet|resume|drain`: the workers that are there, and a word to one of them."""

from functools import partial

import click
from msgspec import UNSET

from broker.cli.client_options import pages, with_broker
from broker.cli.options import example
from broker.cli.output import age as ago
from broker.cli.output import listing, page, show_json, when
from broker.models.fields import MAX_JOBS
from broker.models.workers import Order, Worker, WorkerWrapper
from worker.client import Client

_COLUMNS = ("name", "host", "state", "order", "busy", "slots", "runner", "version", "seen")
_name_argument = click.argument("name", metavar="NAME")


@click.command("list", epilog=example("titan worker list"))
@with_broker
async def list_(client: Client, *, as_json: bool) -> None:
    """List the workers that are there: those that said so within a minute."""
    with listing("workers", _COLUMNS, _row, as_json=as_json) as shown:
        async for workers in pages(partial(client.workers, MAX_JOBS)):
            shown.show(workers)


@click.command(epilog=example("titan worker status build-1"))
@_name_argument
@with_broker
async def status(client: Client, name: str, *, as_json: bool) -> None:
    """Show one worker, with the ids of the jobs that it runs."""
    _show(await client.worker(name), as_json=as_json)


@click.command(epilog=example("titan worker quiet build-1"))
@_name_argument
@with_broker
async def quiet(client: Client, name: str, *, as_json: bool) -> None:
    """Make a worker take no jobs until it is resumed. Those that run go on."""
    await _order(client, name, "quiet", as_json=as_json)


@click.command(epilog=example("titan worker resume build-1"))
@_name_argument
@with_broker
async def resume(client: Client, name: str, *, as_json: bool) -> None:
    """Let a quiet worker take jobs again."""
    await _order(client, name, "resume", as_json=as_json)


@click.command(epilog=example("titan worker drain build-1"))
@_name_argument
@with_broker
async def drain(client: Client, name: str, *, as_json: bool) -> None:
    """Make a worker stop, as SIGTERM does: it lets its jobs end for --grace-s, and gives back what is left."""
    await _order(client, name, "drain", as_json=as_json)


async def _order(client: Client, name: str, order: Order, *, as_json: bool) -> None:
    worker = await client.order(name, order)
    if as_json:
        show_json(WorkerWrapper(worker))
    else:
        click.echo(f"{worker.name} will hear it within seconds: {order}")


def _show(worker: Worker, *, as_json: bool) -> None:
    if as_json:
        show_json(WorkerWrapper(worker))
        return
    rows = [(name, getattr(worker, name)) for name in worker.__struct_fields__]
    shown = {"seen_at": when(worker.seen_at), "running": "\n".join(worker.running)}
    click.echo(page([(name, shown.get(name, value)) for name, value in rows]))


def _row(worker: Worker) -> tuple[object, ...]:
    order = "-" if worker.order is UNSET else worker.order
    cells = (worker.name, worker.host, worker.state, order, worker.busy, worker.slots)
    return (*cells, worker.runner or "-", worker.version or "-", ago(worker.seen_at))


COMMANDS = (list_, status, quiet, resume, drain)
