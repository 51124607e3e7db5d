"""`titan job`: the group of commands, and those that show, cancel, retry, promote or delete jobs by id."""

from functools import partial

import click

from broker.cli.client_options import CommandResult, each, group_argument, id_argument, option, with_broker
from broker.cli.commands import EXIT_CODES, CommandGroup, TitanCommand
from broker.cli.job.consume import fail, hold, next_, release, start, succeed, touch
from broker.cli.job.enqueue import enqueue
from broker.cli.job.list import list_
from broker.cli.job.log import log
from broker.cli.job.looking import find, history, why
from broker.cli.job.many import by_ids_or_filters
from broker.cli.job.page import job_json
from broker.cli.job.raw import raw_options, show_raw
from broker.cli.job.result import result
from broker.cli.job.story import tell_story
from broker.cli.job.tree import tree
from broker.cli.job.wait import wait
from broker.cli.moments import wide_option
from broker.cli.options import example
from broker.cli.output import show_json
from worker.client import Client


@example("titan job enqueue mail --image hello --payload 'to: ann'", "titan job list mail")
@click.group(
    cls=CommandGroup,
    epilog=EXIT_CODES,
)
def job() -> None:
    """Enqueue, list, show, run and finish jobs."""


@example("titan job show mail 0hYjB6dJb7Pq2Xk9", "titan job show --raw mail 0hYjB6dJb7Pq2Xk9")
@click.command(epilog=EXIT_CODES, cls=TitanCommand, short_help="Show one job, its attempts and its runs.")
@group_argument
@id_argument
@option("--full", is_flag=True, help="Show the whole payload.")
@raw_options
@wide_option
@with_broker
async def show(client: Client, group: str, job_id: str, *, full: bool, raw: bool, as_json: bool, **_: object) -> None:
    """Show one job: its fields, why it waits, its attempts and its runs.

    Attempts: the first job and its retries; > marks the job that is shown. Runs: the last five deliveries of the job
    to workers.

    With --raw, show how the store keeps the job: record, execution, fields and sets, each with the redis-cli command
    that prints it. This reads the store directly, with the same options as `titan check`, and needs no broker.
    """
    if raw:
        await show_raw(group, job_id, as_json=as_json)
        return
    found = await client.show(group, job_id)
    if as_json:
        show_json({"job": job_json(found)})
    else:
        await tell_story(client, found, is_full=full)


@by_ids_or_filters(
    "cancel",
    "titan job cancel mail 0hYjB6dJb7Pq2Xk9 0hYjB6dJb7Pq2XkA",
    "titan job cancel --group mail --status delayed --older-than 1h --dry-run",
)
async def cancel(client: Client, group: str, job_ids: tuple[str, ...], *, as_json: bool) -> int:
    """Cancel jobs that are delayed, queued or running.

    After a refusal it continues with the next job.
    """
    return await each(job_ids, partial(client.cancel, group), _status, as_json=as_json)


@by_ids_or_filters(
    "retry",
    "titan job retry mail 0hYjB6dJb7Pq2Xk9",
    "titan job retry --group mail --reason smtp_down --not-retried --dry-run",
)
async def retry(client: Client, group: str, job_ids: tuple[str, ...], *, as_json: bool) -> int:
    """Enqueue finished jobs again as new jobs, and print the new ids.

    After a refusal it continues with the next job.
    """
    return await each(job_ids, partial(client.retry, group), _new_id, as_json=as_json)


@by_ids_or_filters(
    "promote", "titan job promote mail 0hYjB6dJb7Pq2Xk9", "titan job promote --group mail --image send --yes"
)
async def promote(client: Client, group: str, job_ids: tuple[str, ...], *, as_json: bool) -> int:
    """Queue delayed jobs now, before their delays end.

    After a refusal it continues with the next job.
    """
    return await each(job_ids, partial(client.promote, group), _status, as_json=as_json)


@by_ids_or_filters(
    "delete", "titan job delete mail 0hYjB6dJb7Pq2Xk9", "titan job delete --group mail --status failed --older-than 7d"
)
async def remove(client: Client, group: str, job_ids: tuple[str, ...], *, as_json: bool) -> int:
    """Delete finished jobs and their logs permanently.

    After a refusal it continues with the next job.
    """
    return await each(job_ids, partial(client.remove, group), lambda answer: f"{answer.id} deleted", as_json=as_json)


def _status(answer: CommandResult) -> str:
    return f"{answer.id} {answer.job.status}" if answer.job else answer.id


def _new_id(answer: CommandResult) -> str:
    return f"{answer.id} retried as {answer.job.id} {answer.job.status}" if answer.job else answer.id


_FOR_PRODUCERS = (enqueue, show, list_, wait, result, log, cancel, retry, promote, remove)
_FOR_CONSUMERS = (next_, start, touch, succeed, fail, release, hold)
_LOOKING = (why, history, tree, find)
for _command in (*_FOR_PRODUCERS, *_LOOKING, *_FOR_CONSUMERS):
    job.add_command(_command)
