"""`titan bench`: measures a broker over HTTP."""

import ssl
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from broker.bench.bench_group import BenchGroup
from broker.bench.http_client import BenchAddress, BenchFailed, Unreached
from broker.bench.resource_usage import Meters
from broker.bench.results import Report
from broker.bench.runner import measure
from broker.bench.tables import markdown, measured_on, tables
from broker.bench.workloads import WORKS, Bench, Step
from broker.bench.workloads import steps as all_steps
from broker.cli.client_options import REFUSED, Refused, Unreachable, broker_url_option, credentials_options, option
from broker.cli.commands import EXIT_CODES, TitanCommand
from broker.cli.event_loop import run
from broker.cli.options import example, json_option, refuse_non_text
from broker.cli.output import progress, show_json
from broker.cli.quantities import Duration
from broker.cli.safe_text import line
from broker.cli.table import TextTable
from broker.core.errors import StoreUnavailable


@example("titan bench", "titan bench --only W1 --only W3 --seconds 5 --redis-url redis://localhost:6379/0")
@click.command("bench", epilog=EXIT_CODES, cls=TitanCommand)
@broker_url_option
@credentials_options
@option("--only", "works", multiple=True, type=click.Choice(WORKS), help="Run this workload only; repeatable.")
@option(
    "--seconds",
    default=2.0,
    show_default=True,
    type=Duration(0.1, 60, is_whole=False),
    help="Duration of a step at most, such as 500ms or 5s.",
)
@option(
    "--jobs",
    default=50_000,
    show_default=True,
    type=click.IntRange(1000, 1_000_000),
    help="Maximum number of jobs that a step enqueues or takes.",
)
@option(
    "--backlog",
    default=50_000,
    show_default=True,
    type=click.IntRange(1000, 10_000_000),
    help="Number of jobs in the queue of W6.",
)
@option("--polls", default=200, show_default=True, type=click.IntRange(1, 10_000), help="Number of long polls in W4.")
@option(
    "--rounds",
    default=1,
    show_default=True,
    type=click.IntRange(1, 20),
    help="Number of rounds; the medians are shown.",
)
@option(
    "--redis-url",
    envvar="TITAN_REDIS_URL",
    default="",
    allow_from_autoenv=False,
    help="The broker's store, to measure its CPU and memory: redis://, rediss:// or unix://.",
)
@option(
    "--front-pid",
    "front_pids",
    multiple=True,
    type=int,
    help="The process id of a broker (the front), to measure its CPU; repeatable.",
)
@option("--profile", "is_profile", is_flag=True, help="Run each script alone, and show its cost in the store.")
@option("--markdown", "as_markdown", is_flag=True, help="Print the tables in Markdown.")
@json_option
@click.pass_context
def bench_(
    context: click.Context,
    /,
    broker_url: str,
    token: str,
    tls: ssl.SSLContext | None,
    *,
    as_markdown: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure a broker: rates, latency, CPU and memory per job.

    Workloads: enqueue one (W1) or many (W2) jobs a call, take and finish (W3), long poll (W4), memory (W5), the same
    with a backlog (W6).

    The load is as high as possible, for a few minutes at most. The jobs are in a new group bench-RANDOM and are deleted
    at the end; the empty group remains. A worker that takes jobs of every group would take them, so stop it first, or
    give it --group. With --redis-url and --front-pid the CPU per job is shown too. On a shared machine it is more
    reliable than a rate. Both include all other work of the store and the broker during the measurement.

    The exit code is also 1 when the broker refused calls.
    """
    refuse_non_text(context)
    if as_json and as_markdown:
        raise click.UsageError("--json and --markdown do not go together.")
    plan = _Plan(**options)
    chosen = plan.steps()
    report = run(_measured(plan, chosen, _address(broker_url, token, tls)))
    _show(report, as_json=as_json, as_markdown=as_markdown)
    context.exit(_report_refusals(report))


class _Plan(NamedTuple):
    """The options that select what is measured. `seconds`: the duration of a step, in s."""

    works: tuple[str, ...]
    seconds: float
    jobs: int
    backlog: int
    polls: int
    rounds: int
    redis_url: str
    front_pids: tuple[int, ...]
    is_profile: bool

    def steps(self) -> list[Step]:
        """The selected steps. Raises UsageError for a step or profile that needs --redis-url."""
        chosen = [step for step in all_steps(self.backlog) if not self.works or step.work in self.works]
        without = {step.work for step in chosen if step.needs_store} if not self.redis_url else set()
        if without and self.works:
            raise click.UsageError(f"--only {min(without)} needs --redis-url.")
        if without:
            click.echo(f"{min(without)} is left out: it needs --redis-url.", err=True)
        if self.is_profile and not self.redis_url:
            raise click.UsageError("--profile needs --redis-url.")
        return [step for step in chosen if self.redis_url or not step.needs_store]


def _address(broker_url: str, token: str, tls: ssl.SSLContext | None) -> BenchAddress:
    try:
        return BenchAddress.read(broker_url, token, tls)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--broker-url") from None


async def _measured(plan: _Plan, chosen: Sequence[Step], address: BenchAddress) -> Report:
    bench = Bench(BenchGroup(address), Meters(plan.front_pids), plan.seconds, plan.jobs, plan.polls)
    total = len(chosen) * plan.rounds + plan.is_profile
    try:
        async with bench.meters.store(plan.redis_url):
            with progress(total, "Measuring", is_wanted=True) as bar:
                return await measure(bench, chosen, plan.rounds, lambda: bar.update(1), is_profile=plan.is_profile)
    except Unreached as error:
        raise Unreachable(str(error)) from error
    except BenchFailed as error:
        raise Refused(str(error)) from error
    except StoreUnavailable as error:
        raise Refused(f"The store of --redis-url: {error.__cause__ or error}") from error


def _show(report: Report, *, as_json: bool, as_markdown: bool) -> None:
    if as_json:
        show_json(report)
        return
    if as_markdown:
        click.echo("\n".join(markdown(report)))
        return
    click.echo("\n".join(measured_on(report)))
    for table in tables(report):
        click.echo()
        TextTable((), tuple).show(table)


def _report_refusals(report: Report) -> int:
    """Print refused calls to stderr; the exit code."""
    refused = [result for result in report.results if result.refused]
    for result in refused:
        click.echo(line(f"{result.work}, {result.what}: {result.refused} refused, {result.first_refusal}"), err=True)
    return REFUSED if refused else 0
