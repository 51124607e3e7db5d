"""`titan group delete`: deletes a group with all that the broker keeps of it."""

import sys

import click
from msgspec import Struct

from broker.cli.bulk import followed
from broker.cli.client_options import group_argument, option, with_broker
from broker.cli.commands import TitanCommand
from broker.cli.options import example
from broker.cli.output import Progress, progress, show_json
from broker.core.errors import StoreUnavailable, WrongState
from broker.core.states import FINISHED, STATUSES
from broker.core.words import counted
from broker.models.bulk import NewBulk
from broker.models.groups import Group
from worker.client import Client

_UNFINISHED = tuple(status for status in STATUSES if status not in FINISHED)


class Deletion(Struct, frozen=True, kw_only=True):
    """What was deleted, as --json prints it; of a dry run what would be."""

    group: str
    cancelled: int
    """Jobs that were not finished, and were cancelled first."""
    jobs: int
    """All jobs of the group, with those that were cancelled first."""
    dry_run: bool = False


@example("titan group delete mail --dry-run", "titan group delete mail --cancel-jobs --yes")
@click.command(cls=TitanCommand)
@group_argument
@option("--cancel-jobs", is_flag=True, help="First cancel the jobs that are delayed, queued or running.")
@option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@option("--yes", is_flag=True, help="Do not ask.")
@with_broker
async def delete(client: Client, group: str, *, cancel_jobs: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete a group with its finished jobs, their logs, its settings and its statistics.

    A group with jobs that are delayed, queued or running is refused, unless --cancel-jobs cancels them first. A later
    enqueue makes the group again, with default settings.
    """
    shown = await client.group(group)
    unfinished = {status: n for status in _UNFINISHED if (n := getattr(shown.counts, status))}
    if unfinished and not cancel_jobs:
        counts = ", ".join(f"{n:,} {status}" for status, n in unfinished.items())
        raise WrongState(f"The group has unfinished jobs: {counts}. --cancel-jobs cancels them first.")
    deletion = Deletion(group=group, cancelled=sum(unfinished.values()), jobs=_jobs(shown), dry_run=dry_run)
    if not (dry_run or yes):
        _confirm(deletion)
    if not dry_run:
        await _delete(client, deletion, is_quiet=as_json)
    if as_json:
        show_json(deletion)
    else:
        click.echo(f"{_words(deletion)}: {'would be deleted' if dry_run else 'deleted'}")


async def _delete(client: Client, deletion: Deletion, *, is_quiet: bool) -> None:
    if deletion.cancelled:
        await followed(client, await client.bulk(deletion.group, NewBulk(action="cancel")), is_quiet=is_quiet)
    with progress(deletion.jobs, f"delete {deletion.group}", is_wanted=not is_quiet) as bar:
        await _delete_group(client, deletion.group, deletion.jobs, bar)


async def _delete_group(client: Client, name: str, left: int, bar: Progress) -> None:
    """Delete a group of any size: as long as calls come forward they are repeated. `left`: how many jobs it has."""
    while True:
        try:
            await client.delete_group(name)
        except StoreUnavailable:
            before, left = left, _jobs(await client.group(name))
            if left >= before:
                raise
            bar.update(before - left)
        else:
            bar.update(left)
            return


def _confirm(deletion: Deletion) -> None:
    """Ask on the terminal. Raises UsageError without one."""
    if not sys.stdin.isatty():
        raise click.UsageError("Without a terminal to ask on it needs --yes; --dry-run only says what it would do.")
    click.confirm(f"Delete {_words(deletion)}?", abort=True, err=True)


def _words(deletion: Deletion) -> str:
    cancels = f", {deletion.cancelled:,} of them cancelled first" if deletion.cancelled else ""
    return f"{deletion.group} with {counted(deletion.jobs, 'job')}{cancels}"


def _jobs(shown: Group) -> int:
    return sum(getattr(shown.counts, status) for status in STATUSES)
