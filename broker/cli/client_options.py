"""Options and client of commands that call a broker, and their error messages and exit codes."""

import asyncio
import functools
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
from click.core import ParameterSource
from msgspec import Struct

from broker.cli.contexts import BrokerContext, current_context
from broker.cli.options import RepeatableText, refuse_non_text
from broker.cli.output import JsonList
from broker.cli.safe_text import line
from broker.core.errors import Invalid, Overloaded, StoreUnavailable, TitanError
from broker.core.settings_schema import TOKEN_VARIABLE, settings_of, token_from
from broker.http.request.decoding import convert
from broker.models.jobs import Job
from broker.models.results import Problem
from titan.addresses import OPTIONS, broker_address, tls_of
from titan.errors import BrokerUnavailable, SpeaksDialect
from worker.client import Client
from worker.settings import WorkerSettings

DEFAULT_BROKER_URL = "http://127.0.0.1:8080"
REFUSED, UNREACHABLE, TIMED_OUT = 1, 3, 124
_CONNECT_S = 3.0
_TOKEN_HELP, _CA_HELP, _CERT_HELP = (
    next(s.description for s in settings_of(WorkerSettings) if s.name == name)
    for name in ("token_file", "ca_file", "cert_file")
)

S = TypeVar("S", bound=Struct)
T = TypeVar("T")

option = functools.partial(click.option, show_envvar=True)


def complete_groups(context: click.Context, _: click.Parameter, part: str) -> list[str]:
    """The groups whose names begin with `part`, for a shell."""
    from broker.cli.completing import groups

    return groups(context, part)


group_argument = click.argument("group", metavar="GROUP", shell_complete=complete_groups)


class _IdArgument(click.Argument):
    """The id of a job, or several. Without one, the error says what is before it: people type the id alone."""

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """The value. Raises MissingParameter."""
        try:
            return super().process_value(ctx, value)
        except click.MissingParameter as error:
            if "group" not in ctx.params:
                raise
            text = "The group comes before it; titan job find ID finds a job in whichever group."
            raise click.MissingParameter(text, ctx, self) from error


id_argument = click.argument("job_id", metavar="ID", cls=_IdArgument)
ids_argument = click.argument("job_ids", metavar="ID...", nargs=-1, required=True, cls=_IdArgument)


class Refused(click.ClickException):
    """Ends a command with one line on stderr and exit code 1."""

    exit_code = REFUSED

    def __init__(self, message: str) -> None:
        super().__init__(line(message))


class Unreachable(Refused):
    """Ends a command with one line on stderr and exit code 3: the broker cannot be reached."""

    exit_code = UNREACHABLE


broker_url_option = option(
    "--broker-url",
    envvar="TITAN_BROKER_URL",
    default=(DEFAULT_BROKER_URL,),
    show_default=True,
    multiple=True,
    type=RepeatableText(),
    callback=lambda _context, _parameter, urls: ";".join(urls),
    allow_from_autoenv=False,
    help="URL of the broker. Repeatable: the first that can be reached is used.",
)
"""The broker's address, for every command that calls a broker."""


def credentials_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --token-file, --ca-file and --cert-file. The command gets `token` and `tls` instead of file names."""

    @option("--token-file", default="", envvar="TITAN_TOKEN_FILE", allow_from_autoenv=False, help=_TOKEN_HELP)
    @option("--ca-file", default="", envvar="TITAN_CA_FILE", allow_from_autoenv=False, help=_CA_HELP)
    @option("--cert-file", default="", envvar="TITAN_CERT_FILE", allow_from_autoenv=False, help=_CERT_HELP)
    @functools.wraps(command)
    def run(token_file: str, ca_file: str, cert_file: str, **arguments: Any) -> None:
        try:
            if context := _context_in_use(arguments.get("broker_url")):
                arguments["broker_url"] = ";".join(context.broker_url) or arguments["broker_url"]
                token_file = token_file or ("" if os.environ.get(TOKEN_VARIABLE) else context.token_file)
                ca_file, cert_file = ca_file or context.ca_file, cert_file or context.cert_file
            token, tls = token_from(token_file), tls_of(ca_file, cert_file)
        except ValueError as error:
            raise click.UsageError(f"{error}.") from None
        command(token=token, tls=tls, **arguments)

    return run


def _context_in_use(broker_url: object) -> BrokerContext | None:
    """The context of `titan context use`, unless a broker is named: another broker must not get its token."""
    source = click.get_current_context().get_parameter_source("broker_url")
    is_named = broker_url not in ("", DEFAULT_BROKER_URL) or source is not ParameterSource.DEFAULT
    return None if is_named else current_context()


def addresses(broker_url: str) -> list[str]:
    """Split --broker-url into URLs."""
    return [url.strip() for url in broker_url.split(";") if url.strip()]


def _reachable_first(urls: list[str]) -> list[str]:
    """The addresses, those before the first that accepts a connection at the end. One address is not tried."""
    for number, url in enumerate(urls if len(urls) > 1 else ()):
        try:
            parts = urlsplit(broker_address(url, OPTIONS))
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname or "", port), _CONNECT_S).close()
        except OSError:
            continue
        return [*urls[number:], *urls[:number]]
    return urls


def with_broker(command: Callable[..., Awaitable[int | None]]) -> Callable[..., None]:
    """Run a coroutine with an open client as `client`. Adds the client's options and --json.

    The coroutine returns the exit code, or None for 0.
    """

    @broker_url_option
    @credentials_options
    @option("--json", "as_json", is_flag=True, envvar="TITAN_JSON", allow_from_autoenv=False, help="Print JSON.")
    @functools.wraps(command)
    def run(broker_url: str, token: str, tls: ssl.SSLContext | None, **arguments: Any) -> None:
        refuse_non_text(click.get_current_context())
        try:
            client = Client(_reachable_first(addresses(broker_url)), token=token, tls=tls)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--broker-url") from None
        code = asyncio.run(_call(command, client, arguments))
        click.get_current_context().exit(code or 0)

    return run


async def pages(page_after: Callable[[str], Awaitable[tuple[list[T], str]]]) -> AsyncIterator[list[T]]:
    """All pages of a list. `page_after` gets a cursor and returns a page and the next cursor, '' at the end."""
    cursor, has_more = "", True
    while has_more:
        page, cursor = await page_after(cursor)
        yield page
        has_more = cursor != ""


class CommandResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a call for one of several ids, as --json prints it."""

    id: str
    ok: bool = False
    job: Job | None = None
    error: Problem | None = None


async def each(
    names: Sequence[str],
    call: Callable[[str], Awaitable[Job | None]],
    done: Callable[[CommandResult], str],
    *,
    as_json: bool,
) -> int:
    """Call for each name, print each result immediately, continue after a refusal; the exit code.

    `done` makes the line of a success. When the broker or the store is unavailable, the rest is not tried.
    """
    code = 0
    answers = JsonList("jobs")
    try:
        for name in names:
            answer = await _answer(name, call)
            code = REFUSED if answer.error else code
            if as_json:
                answers.show([answer])
            elif answer.error:
                click.echo(line(f"{name}: {answer.error.message}"), err=True)
            else:
                click.echo(line(done(answer)))
    finally:
        if as_json:
            answers.end()
    return code


def error_text(error: TitanError) -> str:
    """The message of a refusal, with the name of the field that caused it."""
    field = error.fields.removeprefix("jobs[0].")
    return error.message if field in error.message else f"{field}: {error.message}"


def from_options(struct: type[S], values: Mapping[str, object]) -> S:
    """A struct from the options that are not None. Raises UsageError with the field for a value out of bounds."""
    try:
        return convert(struct, {name: value for name, value in values.items() if value is not None})
    except Invalid as error:
        raise click.UsageError(error_text(error)) from None


async def _call(command: Callable[..., Awaitable[int | None]], client: Client, arguments: dict[str, Any]) -> int | None:
    try:
        async with client:
            return await command(client=client, **arguments)
    except BrokerUnavailable as error:
        raise Unreachable(error.message) from error
    except TitanError as error:
        raise Refused(error_text(error)) from error
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error


async def _answer(name: str, call: Callable[[str], Awaitable[Job | None]]) -> CommandResult:
    try:
        return CommandResult(id=name, ok=True, job=await call(name))
    except (BrokerUnavailable, SpeaksDialect, Overloaded, StoreUnavailable):
        raise
    except TitanError as error:
        return CommandResult(id=name, error=Problem(message=error.message, fields=error.fields, code=error.code))
