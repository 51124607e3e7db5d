"""`titan bench`: what a broker can do, measured over HTTP."""

import ssl
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from broker.bench.bench_group import OwnGroup
from broker.bench.http_client import BenchAddress, BenchFailed, Unreached
from broker.bench.resource_usage import Meters
from broker.bench.results import Report
from broker.bench.runner import measure
from broker.bench.tables import about, markdown, tables
from broker.bench.workloads import WORKS, Bench, Step, steps
from broker.cli.client_options import (
    EXIT_CODES,
    REFUSED,
    Refused,
    Unreachable,
    broker_url_option,
    credentials_options,
    option,
)
from broker.cli.event_loop import run
from broker.cli.options import example, json_option, refuse_what_is_no_text
from broker.cli.output import TextTable, line, progress, show_json
from broker.core.errors import StoreUnavailable


@click.command(
    "bench",
    epilog=example("titan bench", "titan bench --only W1 --only W3 --seconds 5 --redis-url redis://localhost:6379/0")
    + "\n\n"
    + EXIT_CODES,
)
@broker_url_option
@credentials_options
@option("--only", "works", multiple=True, type=click.Choice(WORKS), help="Run this workload only; repeatable.")
@option(
    "--seconds", default=2.0, show_default=True, type=click.FloatRange(0.1, 60), help="How long a step loads, in s."
)
@option(
    "--jobs",
    default=50_000,
    show_default=True,
    type=click.IntRange(1000, 1_000_000),
    help="Jobs that a step enqueues or takes at most.",
)
@option(
    "--backlog",
    default=50_000,
    show_default=True,
    type=click.IntRange(1000, 10_000_000),
    help="Jobs that are queued in W6.",
)
@option("--polls", default=200, show_default=True, type=click.IntRange(1, 10_000), help="How often W4 waits for a job.")
@option("--rounds", default=1, show_default=True, type=click.IntRange(1, 20), help="Rounds; medians of them are shown.")
@option(
    "--redis-url",
    envvar="TITAN_REDIS_URL",
    default="",
    allow_from_autoenv=False,
    help="The broker's store, to see its CPU and memory: redis://, rediss:// or unix://.",
)
@option(
    "--front-pid",
    "front_pids",
    multiple=True,
    type=int,
    help="The process id of a broker (the front), to see its CPU; repeatable.",
)
@option("--profile", "is_profile", is_flag=True, help="Run each script apart, and show what it costs in the store.")
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
    **asked: Any,
) -> None:
    """Measure a broker: enqueue (W1, W2), take and finish (W3), long poll (W4), memory (W5), with a backlog (W6).

    It loads the broker as hard as it can for some minutes at most, with jobs of a group bench-RANDOM of its own, and
    deletes them again; the empty group stays. A worker that takes jobs of any group would take them: stop it, or give
    it --group. With --redis-url and --front-pid the CPU that a job costs is shown too, which on a shared machine says
    more than a rate; both count everything that the store and the broker do meanwhile.

    Exit code 1 also when the broker refused calls.
    """
    refuse_what_is_no_text(context)
    if as_json and as_markdown:
        raise click.UsageError("--json and --markdown do not go together.")
    plan = _Plan(**asked)
    chosen = plan.chosen()
    report = run(_measured(plan, chosen, _address(broker_url, token, tls)))
    _show(report, as_json=as_json, as_markdown=as_markdown)
    context.exit(_told_refusals(report))


class _Plan(NamedTuple):
    """What is to be measured, as the options of these names say it; `seconds`: how long a step loads, in s."""

    works: tuple[str, ...]
    seconds: float
    jobs: int
    backlog: int
    polls: int
    rounds: int
    redis_url: str
    front_pids: tuple[int, ...]
    is_profile: bool

    def chosen(self) -> list[Step]:
        """The steps that are wanted. Raises UsageError when one needs a store that is not given."""
        chosen = [step for step in steps(self.backlog) if not self.works or step.work in self.works]
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
    bench = Bench(OwnGroup(address), Meters(plan.front_pids), plan.seconds, plan.jobs, plan.polls)
    acts = len(chosen) * plan.rounds + plan.is_profile
    try:
        async with bench.meters.store(plan.redis_url):
            with progress(acts, "Measuring", is_wanted=True) as bar:
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
    click.echo("\n".join(about(report)))
    for table in tables(report):
        click.echo()
        TextTable((), tuple).show(table)


def _told_refusals(report: Report) -> int:
    """The exit code. What the broker refused is said on stderr."""
    refused = [result for result in report.results if result.refused]
    for result in refused:
        click.echo(line(f"{result.work}, {result.what}: {result.refused} refused, {result.first_refusal}"), err=True)
    return REFUSED if refused else 0
