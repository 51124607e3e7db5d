"""`titan up`: runs a store, a broker, a worker and sample jobs in one process, to try Titan."""

import asyncio
import signal
import sys
import webbrowser
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from broker.cli import demo as samples
from broker.cli.commands import TitanCommand
from broker.cli.event_loop import run
from broker.cli.options import example, settings_from, settings_options, sources
from broker.cli.process_setup import Terminal, prepare_to_serve
from broker.cli.streams import READER_GONE
from broker.core.settings import BrokerSettings
from broker.http.ui.base_path import base_path_of
from broker.models.doctor import Source
from broker.models.jobs import Job
from broker.resp import keys
from worker.settings import WorkerSettings
from worker.table.table import read_table

T = TypeVar("T")


@example("titan up --open", "titan up --port 9000 --run thumb='convert - -resize 64x64 /tmp/out.png'")
@click.command(cls=TitanCommand)
@settings_options(BrokerSettings, without=("processes", "tokens", "tls_cert", "tls_key", "tls_client_ca", "dialect"))
@settings_options(
    WorkerSettings, without=("broker_url", "token_file", "ca_file", "cert_file", "log_level", "log_format", "otel")
)
@click.option("--sample/--no-sample", default=True, show_default=True, help="Whether to run sample jobs.")
@click.option("--open", "is_opened", is_flag=True, help="Open the dashboard in a browser.")
@click.pass_context
def up(context: click.Context, /, *, sample: bool, is_opened: bool, **_: object) -> None:
    """Run a store, a broker, a worker and a few sample jobs, until Ctrl-C.

    All jobs are kept for the next start. The sample jobs have the images hello, count and fail; --run, --config and
    --app add others. The worker takes jobs of the group sample only, unless one of these or --group is given. The first
    Ctrl-C waits for running jobs, a second one kills them. Closing the terminal works like the first Ctrl-C.
    """
    from broker.cli.log_setup import log_to_stderr
    from worker.daemon.signals import until_signalled

    terminal = prepare_to_serve()
    settings = settings_from(context, BrokerSettings)
    worker_settings = msgspec.structs.replace(_worker_settings(context), otel=settings.otel)
    level = "warning" if sources(context, BrokerSettings)["log_level"] == "default" else settings.log_level
    log_to_stderr(level, settings.log_format)
    others = {signal.SIGHUP: _ignore_hangup} if terminal.is_ignored else {}
    found = sources(context, BrokerSettings)
    is_sample = sample and worker_settings.runner in {"", "process"}
    work = partial(_up, settings, worker_settings, terminal, found, is_sample=is_sample, is_opened=is_opened)
    code = run(until_signalled(work, others), terminal)
    click.echo(f"Stopped; all jobs are kept in {_store_name(settings)}.")
    sys.exit(READER_GONE if terminal.is_unread else code)


def _worker_settings(context: click.Context) -> WorkerSettings:
    settings = settings_from(context, WorkerSettings)
    try:
        table = read_table(settings)
    except ValueError as error:
        raise click.UsageError(f"--run, --config or --app: {str(error).rstrip('.')}.") from None
    is_own = any((settings.run, settings.config, settings.app, settings.group))
    groups = settings.group if is_own else (samples.GROUP,)
    return msgspec.structs.replace(settings, run=samples.table(settings.run, table.named), group=groups)


async def _up(
    settings: BrokerSettings,
    worker_settings: WorkerSettings,
    terminal: Terminal,
    found: Mapping[str, Source],
    stop: asyncio.Event,
    *,
    is_sample: bool,
    is_opened: bool,
) -> int:
    from broker.service.broker import running
    from worker.client import Client

    terminal.on_failure = stop.set
    click.echo(f"Starting on {_store_name(settings)} …")
    async with running(settings, sources=found) as serving:
        url = serving.url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        dashboard = _dashboard(settings, url)
        async with Client(url) as client:
            click.echo(f"Dashboard: {dashboard}" if dashboard else "There is no dashboard (--ui off).")
            if is_opened and dashboard:
                await _open(dashboard)
            click.echo(f"Titan serves on {serving.url}; its store has {await samples.counts(client)}.")
            screen = samples.Screen(client)
            async with _worker(msgspec.structs.replace(worker_settings, broker_url=(url,)), screen) as work:
                job = await _unless(stop, screen.sample()) if is_sample else None
                if not stop.is_set():
                    _hint(serving.store.settings, url, serving.redis_cli, job)
                await serving.until(stop)
                click.echo("Stopping …")
            code = work.result()
    serving.check()
    return code


def _dashboard(settings: BrokerSettings, url: str) -> str:
    """The address of the dashboard; '' without one."""
    return "" if settings.ui == "off" else f"{url}{base_path_of(settings.base_path)}/ui/"


async def _open(address: str) -> None:
    """Open an address in the person's browser, which BROWSER names or the system knows."""
    if not await asyncio.to_thread(webbrowser.open, address):
        click.echo("No browser was found to open it; --open has no effect here.", err=True)


def _hint(settings: BrokerSettings, url: str, redis_cli: str, job: Job | None) -> None:
    partition = keys.partition(settings.key_prefix, keys.partition_of(samples.GROUP, settings.partitions))
    click.echo("\nTry, in another terminal:")
    click.echo("\n".join(samples.hints(url, redis_cli, partition, job)))
    click.echo("\nCtrl-C stops.\n")


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of the work, or None as soon as `stop` is set."""
    tasks = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    return await tasks[0] if tasks[0].done() else None


@asynccontextmanager
async def _worker(settings: WorkerSettings, screen: samples.Screen) -> AsyncIterator[asyncio.Task[int]]:
    """Run a worker inside the block and print its events; it drains at the end."""
    from worker.daemon.daemon import run_worker

    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        follow = tasks.create_task(screen.follow())
        work = tasks.create_task(run_worker(settings, stop=stop, on_event=screen.put))
        yield work
        stop.set()
        await asyncio.wait([work])
        follow.cancel()


def _ignore_hangup() -> None:
    """Continue when the terminal closes, as below nohup."""


def _store_name(settings: BrokerSettings) -> str:
    from broker.resp.url import without_password

    if settings.redis_url:
        return without_password(settings.redis_url)
    try:
        return str(Path(settings.data_dir).expanduser().absolute())
    except (OSError, RuntimeError):  # the current folder or HOME does not exist, which the start reports
        return settings.data_dir
