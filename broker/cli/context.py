"""`titan context`: adds, lists, uses and deletes named brokers."""

from pathlib import Path

import click
import msgspec

from broker.cli.client_options import DEFAULT_BROKER_URL, Refused, addresses, broker_url_option
from broker.cli.commands import EXIT_CODES, CommandGroup, TitanCommand
from broker.cli.contexts import (
    BrokerContext,
    Contexts,
    ContextsUnreadable,
    contexts_path,
    read_contexts,
    write_contexts,
)
from broker.cli.options import example, json_option
from broker.cli.output import listing
from titan.addresses import OPTIONS, broker_address

_COLUMNS = ("", "name", "broker_url", "token_file", "ca_file", "cert_file")
_name_argument = click.argument("name", metavar="NAME")


@example(
    "titan context add prod --broker-url https://titan.example.com --token-file prod.token",
    "titan context use prod",
)
@click.group(cls=CommandGroup, epilog=EXIT_CODES)
def context() -> None:
    """Name brokers, and choose the one that commands call.

    \b
    Each command that calls a broker takes these options:
      --broker-url URL   the broker; repeatable, the first
                         that can be reached is used
      --token-file FILE  the token; without it TITAN_TOKEN
      --ca-file FILE     PEM file of the authorities (CAs)
                         that vouch for an https:// broker
      --cert-file FILE   PEM file of a certificate and its
                         key, for a broker that asks for one

    An option wins, then its variable (TITAN_BROKER_URL, TITAN_TOKEN_FILE, TITAN_CA_FILE, TITAN_CERT_FILE), then the
    context in use. TITAN_CONTEXT names another context for one command. Workers and brokers use no context.
    """  # noqa: D301 -- \b keeps the lines of a paragraph


@example("titan context add prod --broker-url https://titan.example.com --token-file prod.token")
@click.command(cls=TitanCommand)
@_name_argument
@broker_url_option
@click.option("--token-file", type=click.Path(path_type=Path, dir_okay=False), help="File of the token.")
@click.option("--ca-file", type=click.Path(path_type=Path, dir_okay=False), help="PEM file of authorities (CAs).")
@click.option("--cert-file", type=click.Path(path_type=Path, dir_okay=False), help="PEM file of a certificate.")
@json_option
def add(
    name: str,
    broker_url: str,
    token_file: Path | None,
    ca_file: Path | None,
    cert_file: Path | None,
    *,
    as_json: bool,
) -> None:
    """Add a context, or replace one.

    The first one is used at once.
    """
    urls = addresses(broker_url)
    try:
        for url in urls:
            broker_address(url, OPTIONS)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--broker-url") from None
    files = [str(file.expanduser().absolute()) if file else "" for file in (token_file, ca_file, cert_file)]
    made = BrokerContext(broker_url=urls, token_file=files[0], ca_file=files[1], cert_file=files[2])
    contexts = _read()
    _write(contexts.current or name, contexts.context | {name: made})
    _show(as_json=as_json)


@example("titan context list")
@click.command("list", cls=TitanCommand)
@json_option
def list_(*, as_json: bool) -> None:
    """List the contexts; > marks the one in use."""
    _show(as_json=as_json)
    if not _read().context:
        click.echo(
            f"There is no context; commands call {DEFAULT_BROKER_URL}. titan context add makes a context.", err=True
        )


@example("titan context use prod")
@click.command(cls=TitanCommand)
@_name_argument
@json_option
def use(name: str, *, as_json: bool) -> None:
    """Use a context from now on."""
    contexts = _read()
    _check(name, contexts)
    _write(name, contexts.context)
    _show(as_json=as_json)


@example("titan context delete prod")
@click.command(cls=TitanCommand)
@_name_argument
@json_option
def delete(name: str, *, as_json: bool) -> None:
    """Delete a context.

    The files that it names stay.
    """
    contexts = _read()
    _check(name, contexts)
    left = {other: kept for other, kept in contexts.context.items() if other != name}
    _write("" if contexts.current == name else contexts.current, left)
    _show(as_json=as_json)


def _check(name: str, contexts: Contexts) -> None:
    if name not in contexts.context:
        raise Refused(f"There is no context {name!r}.")


def _read() -> Contexts:
    try:
        return read_contexts()
    except ContextsUnreadable as error:
        raise Refused(f"{error}.") from None


def _write(current: str, contexts: dict[str, BrokerContext]) -> None:
    try:
        write_contexts(msgspec.convert({"current": current, "context": contexts}, Contexts, from_attributes=True))
    except msgspec.ValidationError:
        raise click.UsageError("The name of a context has 1 to 64 characters: letters, digits and . _ -") from None
    except (OSError, RuntimeError) as error:
        raise Refused(f"{contexts_path()} cannot be written: {error}.") from None


def _show(*, as_json: bool) -> None:
    contexts = _read()
    rows = [
        {"current": name == contexts.current, "name": name, **msgspec.to_builtins(one)}
        for name, one in contexts.context.items()
    ]
    with listing("contexts", _COLUMNS, _cells, as_json=as_json) as shown:
        shown.show(rows)


def _cells(row: dict[str, object]) -> tuple[object, ...]:
    urls = row.get("broker_url")
    first = ">" if row["current"] else "", row["name"], " ".join(urls) if isinstance(urls, list) else ""
    return (*first, *(row.get(name, "") for name in ("token_file", "ca_file", "cert_file")))


for _command in (add, list_, use, delete):
    context.add_command(_command)
