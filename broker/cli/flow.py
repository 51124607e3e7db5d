"""`titan flow`: enqueues the jobs of a file, which wait for each other, and shows them as a tree."""

from pathlib import Path

import click

from broker.cli.client_options import Refused, group_argument, id_argument, with_broker
from broker.cli.commands import EXIT_CODES, CommandGroup, TitanCommand
from broker.cli.job.tree import show_tree, state_of
from broker.cli.job_file import read_job_file
from broker.cli.moments import wide_option
from broker.cli.options import example
from broker.cli.output import show_json
from broker.cli.safe_text import line
from broker.models.jobs import JobsWrapper, NewJobs
from worker.client import Client


@example("titan flow run docs flow.toml", "titan flow show docs 0hYjB6dJb7Pq2Xk9")
@click.group(cls=CommandGroup, epilog=EXIT_CODES)
def flow() -> None:
    """Run jobs that wait for each other."""


@example("titan flow run docs flow.toml", "titan flow run docs flow.json --json")
@click.command(cls=TitanCommand)
@group_argument
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@wide_option
@with_broker
async def run(client: Client, group: str, file: Path, *, as_json: bool) -> None:
    r"""Enqueue the jobs of a file in TOML or JSON, all or none.

    A job has the fields of the API. `ref` is its name in the file, and `after` names the jobs that it waits for:

    \b
        [[jobs]]
        ref = "pull"
        image = "pull"

    \b
        [[jobs]]
        image = "publish"
        after = ["pull"]
    """
    jobs = read_job_file(file, NewJobs).jobs
    made = await client.enqueue(group, jobs)
    if as_json:
        show_json(JobsWrapper(made))
        return
    for given, job in zip(jobs, made, strict=True):
        click.echo(line(f"{job.id} {given.ref or job.image} {state_of(job)}"))


@example("titan flow show docs 0hYjB6dJb7Pq2Xk9")
@click.command(cls=TitanCommand)
@group_argument
@id_argument
@wide_option
@with_broker
async def show(client: Client, group: str, job_id: str, *, as_json: bool) -> None:
    """Show a job and the jobs that it waits for, as a tree with their states.

    The line of a job that was retried names its retry, and that of a retry the job that it repeats. A `ref` is a name
    in the file alone: the broker does not keep it.
    """
    await show_tree(client, group, job_id, as_json=as_json)


@example("titan flow retry docs 0hYjB6dJb7Pq2Xk9")
@click.command(cls=TitanCommand)
@group_argument
@id_argument
@wide_option
@with_broker
async def retry(client: Client, group: str, job_id: str, *, as_json: bool) -> None:
    """Repeat a job that failed, with the jobs that were cancelled because of that.

    The new jobs wait for each other as the old ones did, and have the results of those that had succeeded. Prints the
    id of each new job, and which job it repeats. A job that succeeded is run again too, alone. One that was cancelled
    because of another is refused: what it waited for would be missing.
    """
    job = await client.show(group, job_id)
    if (job.status, job.reason) == ("cancelled", "dependency"):
        shown = f"titan flow show {group} {job_id}"
        raise Refused(
            f"The job {job_id} only waited for one that did not succeed. Repeat that one: {shown} has its id."
        )
    made = await client.retry_flow(group, job_id)
    if as_json:
        show_json(made)
        return
    click.echo(line(f"{made.job.id} repeats {job_id}"))
    for other in made.dependants or []:
        click.echo(line(f"{other.id} repeats {other.retry_of}"))


for _command in (run, show, retry):
    flow.add_command(_command)
