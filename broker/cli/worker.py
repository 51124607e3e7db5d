"""`titan worker`: runs a worker; its commands list|status|quiet|resume|drain show and control running workers."""

import gc
import os
import sys
from functools import partial

import click
from msgspec import UNSET

from broker.cli.client_options import pages, with_broker
from broker.cli.commands import CommandGroup, TitanCommand
from broker.cli.event_loop import loop_factory
from broker.cli.moments import age as ago
from broker.cli.moments import when, wide_option
from broker.cli.options import example, settings_from, settings_options
from broker.cli.output import listing, page, show_json
from broker.cli.process_setup import prepare_to_serve
from broker.cli.table import GOOD, WAITS, Column
from broker.core import timestamps
from broker.core.errors import StartFailed, TitanError
from broker.core.spans import check_otel
from broker.models.fields import MAX_JOBS
from broker.models.jobs import Job
from broker.models.workers import Order, Worker, WorkerWrapper
from titan.addresses import OPTIONS, broker_address
from worker.client import Client
from worker.credentials import credentials_of
from worker.daemon.daemon import run_worker
from worker.daemon.parent_watch import run_below_parent
from worker.daemon.resilient_loop import run_until_done
from worker.settings import WorkerSettings
from worker.table.table import read_table

_COLUMNS = (
    Column("name", can_cut=True),
    Column("host", drop=5, can_cut=True),
    Column("state", styles={"working": GOOD, "quiet": WAITS, "draining": WAITS}),
    Column("order", drop=3),
    Column("busy"),
    Column("groups", drop=1, can_cut=True, most=40),
    Column("images", drop=2, can_cut=True, most=40),
    Column("up", drop=4),
    Column("done", drop=6),
    Column("failed", drop=7),
    Column("seen", drop=8),
    Column("version", drop=9),
)
_JOBS = (
    Column("id"),
    Column("group", can_cut=True),
    Column("image", drop=1, can_cut=True),
    Column("age"),
)


def _complete_workers(context: click.Context, _: click.Parameter, part: str) -> list[str]:
    from broker.cli.completing import workers

    return workers(context, part)


_name_argument = click.argument("name", metavar="NAME", shell_complete=_complete_workers)


@example("titan worker list")
@click.command("list", cls=TitanCommand, short_help="List the workers of the last minute.")
@wide_option
@with_broker
async def list_(client: Client, *, as_json: bool) -> None:
    """List the workers that sent a heartbeat within the last minute."""
    with listing("workers", _COLUMNS, _row, as_json=as_json, empty="No worker is running.") as shown:
        async for workers in pages(partial(client.workers, MAX_JOBS)):
            shown.show(workers)


@example("titan worker status build-1")
@click.command(cls=TitanCommand, short_help="Show one worker and its running jobs.")
@_name_argument
@wide_option
@with_broker
async def status(client: Client, name: str, *, as_json: bool) -> None:
    """Show one worker and its running jobs with their age."""
    await _show(client, await client.worker(name), as_json=as_json)


@example("titan worker quiet build-1")
@click.command(cls=TitanCommand, short_help="Stop a worker from taking jobs.")
@_name_argument
@with_broker
async def quiet(client: Client, name: str, *, as_json: bool) -> None:
    """Stop a worker from taking jobs until it is resumed.

    Its running jobs continue.
    """
    await _order(client, name, "quiet", as_json=as_json)


@example("titan worker resume build-1")
@click.command(cls=TitanCommand)
@_name_argument
@with_broker
async def resume(client: Client, name: str, *, as_json: bool) -> None:
    """Let a quiet worker take jobs again."""
    await _order(client, name, "resume", as_json=as_json)


@example("titan worker drain build-1")
@click.command(cls=TitanCommand)
@_name_argument
@with_broker
async def drain(client: Client, name: str, *, as_json: bool) -> None:
    """Stop a worker, as SIGTERM does.

    It takes no more jobs, waits for running jobs up to the --grace-s that it was started with, and releases the rest.
    """
    await _order(client, name, "drain", as_json=as_json)


async def _order(client: Client, name: str, order: Order, *, as_json: bool) -> None:
    worker = await client.order(name, order)
    if as_json:
        show_json(WorkerWrapper(worker))
    else:
        click.echo(f"{worker.name} gets the order within seconds: {order}")


async def _show(client: Client, worker: Worker, *, as_json: bool) -> None:
    if as_json:
        show_json(WorkerWrapper(worker))
        return
    times = {name: when(at) for name in ("since", "seen_at") if (at := getattr(worker, name)) and _is_time(at)}
    lists = {name: ", ".join(getattr(worker, name)) for name in ("groups", "images")}
    shown = times | lists | {"running": UNSET}
    click.echo(page([(name, shown.get(name, getattr(worker, name))) for name in worker.__struct_fields__]))
    if worker.running:
        click.echo("\nRunning")
        with listing("jobs", _JOBS, _job_cells, as_json=False) as table:
            table.show([await _running(client, job_id) for job_id in worker.running])


async def _running(client: Client, job_id: str) -> tuple[str, Job | None]:
    try:
        return job_id, await client.find(job_id)
    except TitanError:  # it is deleted by now, or an older broker cannot find it
        return job_id, None


def _job_cells(row: tuple[str, Job | None]) -> tuple[object, ...]:
    job_id, job = row
    if job is None:
        return job_id, "", "", ""
    return job_id, job.group_name, job.image, ago(job.started_at) if job.started_at else ""


def _row(worker: Worker) -> tuple[object, ...]:
    order = "-" if worker.order is UNSET else worker.order
    up = ago(worker.since) if worker.since and _is_time(worker.since) else "-"
    totals = ("-" if count is UNSET else count for count in (worker.finished, worker.failed))
    first = worker.name, worker.host, worker.state, order, f"{worker.busy}/{worker.slots}"
    names = ",".join(worker.groups) or "all", ",".join(worker.images) or "any"
    return (*first, *names, up, *totals, ago(worker.seen_at), worker.version or "-")


def _is_time(text: str) -> bool:
    """Whether a worker's text is a time."""
    try:
        timestamps.milliseconds(text)
    except ValueError:
        return False
    return True


COMMANDS = (list_, status, quiet, resume, drain)

_GC_THRESHOLDS = (50_000, 20, 100)
"""Thousands of jobs per second make many objects and few cycles. Python's default of 700 costs a fifth of the CPU."""


@example("titan worker --run hello=cat --run report='python3 /srv/report.py --quiet'", "titan worker list")
@click.group(
    cls=CommandGroup,
    invoke_without_command=True,
)
@settings_options(WorkerSettings)
@click.pass_context
def worker(context: click.Context, /, **_: object) -> None:
    """Take jobs from a broker and run a command for each.

    The image of a job selects the command. The payload is the command's standard input. Its environment contains
    TITAN_JOB_ID, TITAN_GROUP, TITAN_DELIVERY, TITAN_IMAGE, TITAN_LEASE, TITAN_BATCH for a job of a batch, and the
    group's env_vars. Its output becomes the job's log.

    \b
    Results of a command:
      exit code 0          the job succeeds
      another exit code    the job fails, reason bad_exit
      ended by a signal    the job fails, reason killed
      cannot be started    the job fails, reason not_started
      exceeds its timeout  the job fails, reason timeout

    At the timeout all processes of the command get TERM, and KILL later.

    The first SIGTERM or SIGINT: take no more jobs, wait for running jobs, release the rest. A second one kills running
    jobs immediately. SIGTSTP: take no jobs. SIGCONT: take jobs again. SIGHUP: reload the table of images.

    \b
    Exit codes of the worker:
      0  stopped on request; every job is reported or released
      1  stopped, but a job is neither: it is queued again
         when its lease ends
      2  an option or a TITAN_ variable is wrong, or the
         broker runs with --dialect
    """  # noqa: D301 -- \b keeps the lines of a paragraph
    if context.invoked_subcommand is not None:
        return
    terminal = prepare_to_serve()
    settings = settings_from(context, WorkerSettings)
    _check(settings)
    from broker.cli.log_setup import log_to_stderr

    log_to_stderr(settings.log_level, settings.log_format)
    gc.set_threshold(*_GC_THRESHOLDS)

    def work() -> int:
        serving = run_worker(settings, is_hung_up=terminal.is_closed)
        return run_until_done(serving, loop_factory(), terminal.follow, is_shared=bool(settings.app))

    sys.exit(run_below_parent(work))


def _check(settings: WorkerSettings) -> None:
    if "TITAN_GROUP" in os.environ and "TITAN_JOB_ID" not in os.environ:
        raise click.UsageError("TITAN_GROUP tells a job its own group; the setting is TITAN_GROUPS.")
    try:
        for url in settings.broker_url:
            broker_address(url, OPTIONS)
        table = read_table(settings)
        credentials_of(settings)
        check_otel(is_on=settings.otel)
    except StartFailed as error:
        raise click.ClickException(str(error)) from None
    except ValueError as error:
        raise click.UsageError(f"{str(error).rstrip('.')}.") from None
    if not table:
        which = f" with something for --runner {settings.runner}" if settings.runner else ""
        raise click.UsageError(f"At least one --run NAME='command', --config FILE or --app MODULE{which} is needed.")


for _command in COMMANDS:
    worker.add_command(_command)
