"""`titan batch`: jobs of a group whose ends are counted, and the jobs that follow."""

from pathlib import Path

import click
import msgspec

from broker.cli.client_options import group_argument, option, with_broker
from broker.cli.commands import EXIT_CODES, CommandGroup, TitanCommand
from broker.cli.job_file import read_job_file
from broker.cli.moments import when, wide_option
from broker.cli.options import example
from broker.cli.output import listing, page, show_json
from broker.cli.quantities import Duration
from broker.cli.safe_text import line
from broker.models.batches import Batch, BatchWrapper, NewBatch
from broker.models.fields import MAX_JOBS
from broker.models.jobs import JobsWrapper, NewJobs
from broker.models.waits import MAX_WAIT_S
from worker.client import Client

_COLUMNS = ("id", "state", "total", "over", "failed", "name")
_ID = "0hYjB6dJb7Pq2Xk9"
batch_argument = click.argument("batch_id", metavar="BATCH")
file_argument = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@example("titan batch new docs batch.toml", f"titan batch show docs {_ID}")
@click.group(cls=CommandGroup, epilog=EXIT_CODES)
def batch() -> None:
    """Count the ends of jobs, and create jobs when they have ended."""


@example("titan batch new docs batch.toml", "titan batch new docs batch.json --open")
@click.command(cls=TitanCommand)
@group_argument
@file_argument
@option("--open", "is_open", is_flag=True, help="More jobs follow, until it is closed.")
@wide_option
@with_broker
async def new(client: Client, group: str, file: Path, *, is_open: bool, as_json: bool) -> None:
    r"""Create a batch from a file in TOML or JSON, which has the fields of the API.

    \b
        [[jobs]]
        image = "thumb"

    \b
        [on_over]
        image = "publish"
    """
    given = read_job_file(file, NewBatch)
    if is_open:
        given = msgspec.structs.replace(given, open=True)
    _page(await client.create_batch(group, given), as_json=as_json)


@example(f"titan batch add docs {_ID} jobs.json")
@click.command(cls=TitanCommand)
@group_argument
@batch_argument
@file_argument
@option("--member", default="", help="The id of a running member, to add jobs to a closed batch.")
@option("--lease", default="", help="The lease of that member.")
@wide_option
@with_broker
async def add(client: Client, group: str, batch_id: str, file: Path, *, member: str, lease: str, as_json: bool) -> None:
    """Add the jobs of a file in TOML or JSON to a batch, all or none."""
    made = await client.add_to_batch(group, batch_id, read_job_file(file, NewJobs).jobs, member=member, lease=lease)
    if as_json:
        show_json(JobsWrapper(made))
        return
    for job in made:
        click.echo(line(f"{job.id} {job.image} {job.status}"))


@example(f"titan batch show docs {_ID}", f"titan batch show docs {_ID} --wait 20s")
@click.command(cls=TitanCommand)
@group_argument
@batch_argument
@option("--wait", default=0, type=Duration(0, MAX_WAIT_S), help="Time to wait for its end: up to 30s.")
@wide_option
@with_broker
async def show(client: Client, group: str, batch_id: str, *, wait: int, as_json: bool) -> None:
    """Show a batch: its state, its counts and its callbacks."""
    _page(await client.batch(group, batch_id, wait_s=wait), as_json=as_json)


@example("titan batch list docs")
@click.command("list", cls=TitanCommand, short_help="List the batches of a group.")
@group_argument
@option("-n", "--n", default=50, type=click.IntRange(1, MAX_JOBS), show_default=True, help="How many batches.")
@option("--cursor", default="", help="Continue an earlier list at its end.")
@wide_option
@with_broker
async def list_(client: Client, group: str, n: int, cursor: str, *, as_json: bool) -> None:
    """List the batches of a group, the newest first."""
    with listing("batches", _COLUMNS, _row, as_json=as_json, empty=f"{group} has no batches.") as shown:
        found = await client.batches(group, n, cursor, "desc")
        shown.show(found.batches, found.cursor or "")


@example(f"titan batch close docs {_ID}")
@click.command(cls=TitanCommand)
@group_argument
@batch_argument
@wide_option
@with_broker
async def close(client: Client, group: str, batch_id: str, *, as_json: bool) -> None:
    """Close a batch: no more jobs are added, except by its running members."""
    _page(await client.close_batch(group, batch_id), as_json=as_json)


@example(f"titan batch cancel docs {_ID}")
@click.command(cls=TitanCommand)
@group_argument
@batch_argument
@wide_option
@with_broker
async def cancel(client: Client, group: str, batch_id: str, *, as_json: bool) -> None:
    """Close a batch and cancel its unfinished members.

    Of the callbacks only on_over follows. It may be repeated; a batch that has ended otherwise is refused.
    """
    _page(await client.cancel_batch(group, batch_id), as_json=as_json)


@example(f"titan batch retry docs {_ID}")
@click.command(cls=TitanCommand)
@group_argument
@batch_argument
@wide_option
@with_broker
async def retry(client: Client, group: str, batch_id: str, *, as_json: bool) -> None:
    """Create a new batch that repeats the members that failed, and show it."""
    _page(await client.retry_batch(group, batch_id), as_json=as_json)


def _row(found: Batch) -> tuple[object, ...]:
    counts = found.counts
    return found.id, found.state, counts.total, counts.over, counts.failed, found.name or ""


def _page(found: Batch, *, as_json: bool) -> None:
    if as_json:
        show_json(BatchWrapper(found))
        return
    counts = msgspec.structs.asdict(found.counts).items()
    rows = [("id", found.id), ("name", found.name), ("state", found.state), *((name, n) for name, n in counts)]
    callbacks = [(name, job_id) for name, job_id in found.callbacks.items()]
    times = [(name, when(at)) for name, at in (("end_before", found.end_before), ("ended", found.ended_at)) if at]
    others = (("stopped", found.stopped), ("repeats", found.retry_of), ("repeated_by", found.retry_at))
    click.echo(page([*rows, *callbacks, *times, *((name, text) for name, text in others if text)]))


for _command in (new, add, show, list_, close, cancel, retry):
    batch.add_command(_command)
