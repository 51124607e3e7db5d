"""`titan doctor`: checks that the store is set up to keep jobs safely, and the way to a broker through proxies."""

import ssl
from shutil import get_terminal_size

import click
from click.core import ParameterSource

from broker.cli.client_options import addresses, credentials_options, option
from broker.cli.commands import TitanCommand
from broker.cli.doctor_broker import look_through_proxies
from broker.cli.event_loop import run
from broker.cli.options import example, json_option
from broker.cli.output import is_terminal, listing
from broker.cli.safe_text import line as clean
from broker.cli.store_options import existing_store, names_store, store_options
from broker.cli.table import BAD, GOOD, WAITS, Column
from broker.diagnostics.doctor import look
from broker.models.doctor import DoctorLine

_SHORT = (
    Column("about"),
    Column("state", styles={"ok": GOOD, "wrong": BAD, "unknown": WAITS}),
    Column("found", can_cut=True),
)
"""The columns on a terminal, where the advice is text below the table."""
_COLUMNS = (*_SHORT, Column("what to do"))


@example(
    "titan doctor",
    "titan doctor --redis-url redis://localhost:6379/0",
    "titan doctor --broker-url https://titan.example.org",
)
@click.command(cls=TitanCommand)
@store_options
@option(
    "--broker-url",
    default="",
    envvar="TITAN_BROKER_URL",
    allow_from_autoenv=False,
    help="URL of a broker: check also whether a proxy on the way holds answers back. Several with ; between.",
)
@credentials_options
@json_option
@click.pass_context
def doctor(
    context: click.Context, /, *, broker_url: str, token: str, tls: ssl.SSLContext | None, as_json: bool, **_: object
) -> None:
    """Check the store: version, persistence, eviction, memory, clock, replicas, sentinels, partitions, reaper.

    Each line is ok, or has advice. The exit code is 1 when something is wrong. With --broker-url it checks the way to
    the broker too. Then it checks a store only if one is named, or if the data folder has one. Without any of them it
    checks the broker of TITAN_BROKER_URL, or of the context in use.
    """
    has_store, urls = names_store(context), addresses(broker_url)
    if context.get_parameter_source("broker_url") is not ParameterSource.COMMANDLINE:
        urls = [] if has_store else urls
        if urls:
            click.echo(clean(f"No store is named or found here, so the broker is checked: {', '.join(urls)}"), err=True)
    lines = run(_lines(context)) if has_store or not urls else []
    lines += run(_lines_of_brokers(urls, token, tls))
    is_short = is_terminal() and not as_json
    with listing("lines", _SHORT if is_short else _COLUMNS, _cells, as_json=as_json) as shown:
        shown.show(lines)
    if is_short:
        _show_advice(lines)
    context.exit(1 if any(line.state == "wrong" for line in lines) else 0)


async def _lines(context: click.Context) -> list[DoctorLine]:
    async with existing_store(context) as store:
        return [line async for line in look(store)]


async def _lines_of_brokers(urls: list[str], token: str, tls: ssl.SSLContext | None) -> list[DoctorLine]:
    try:
        return [await look_through_proxies(url, token, tls) for url in urls]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--broker-url") from None


def _show_advice(lines: list[DoctorLine]) -> None:
    """Print what is not ok as text, because the cells of a table are cut on a terminal."""
    for line in lines:
        if line.state != "ok":
            text = clean(f"{line.about}: {line.found}. {line.advice}")
            click.echo("\n" + click.wrap_text(text, get_terminal_size().columns, subsequent_indent="  "))


def _cells(line: DoctorLine) -> tuple[str, ...]:
    return (line.about, line.state, line.found, line.advice)
