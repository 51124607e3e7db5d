"""`titan token`: makes tokens, and their entries for the broker's file of tokens."""

import time
from contextlib import suppress
from pathlib import Path

import click

from broker.auth.token_file import (
    EVERY_GROUP,
    SCOPES,
    Scope,
    Token,
    TokensUnreadable,
    add_token,
    entry,
    new_token,
    read_tokens,
    remove_token,
)
from broker.cli.client_options import option
from broker.cli.commands import CommandGroup
from broker.cli.moments import when, wide_option
from broker.cli.options import example, json_option, refuse_non_text
from broker.cli.output import listing, show_json
from broker.cli.quantities import Duration
from broker.core import timestamps


@example(
    "titan token new --scope produce --groups mail --tokens tokens > web.token", "titan token list --tokens tokens"
)
@click.group(
    cls=CommandGroup,
)
def token() -> None:
    """Make, list and revoke tokens of a broker that runs with --tokens FILE."""


@example(
    "titan token new --scope produce --scope read --groups 'mail,news-*' --name web --tokens tokens > web.token",
    "titan token new --scope consume --tokens tokens > worker.token && systemctl reload 'titan-broker@*'",
)
@token.command(
    "new",
)
@option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(SCOPES),
    help="What the token allows; repeatable. produce: enqueue, cancel, retry, promote, delete; batches, schedules, "
    "bulks. consume: take and finish jobs, send logs. read: show, list and explain jobs and groups, read logs and "
    "metrics. admin: all of these, configure groups, send orders to workers, read the audit and the doctor.",
)
@option(
    "--groups",
    default=EVERY_GROUP,
    show_default=True,
    metavar="NAMES",
    help="Groups that it is valid for, as 'a,b-*'; * matches any text.",
)
@option("--name", default="", help="Name of the owner, for readers of the file.")
@option(
    "--tokens",
    "path",
    envvar="TITAN_TOKENS",
    allow_from_autoenv=False,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to which the entry is appended. Without it the entry is printed on stderr.",
)
@option("--expires", type=Duration(1), help="How long the token is valid, such as 90d; the default is no limit.")
@json_option
def new(
    scopes: tuple[Scope, ...], groups: str, name: str, path: Path | None, expires: int | None, *, as_json: bool
) -> None:
    """Make a token and print it.

    The token is printed only once, on stdout; the file of tokens contains only its SHA-256. A running broker reloads
    the file at SIGHUP.
    """
    refuse_non_text(click.get_current_context())
    try:
        until = "" if expires is None else timestamps.rfc3339(int((time.time() + expires) * 1000))
        secret, made = new_token(scopes, [group for group in groups.split(",") if group], name, until)
        if path is None:
            click.echo(entry(made, is_toml=False), nl=False, err=True)
        else:
            _refuse_used(path, name)
            add_token(path, made)
    except TokensUnreadable as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}.") from None
    if as_json:
        show_json({"token": secret})
    else:
        click.echo(secret)


_DIGEST_LENGTH = 12
_path_option = option(
    "--tokens",
    "path",
    envvar="TITAN_TOKENS",
    allow_from_autoenv=False,
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the tokens.",
)


@example("titan token list --tokens tokens")
@token.command("list", short_help="List the tokens of a file.")
@_path_option
@wide_option
@json_option
def list_(path: Path, *, as_json: bool) -> None:
    """List the tokens of a file: what they allow, and the first digits of their SHA-256."""
    columns, empty = ("name", "scopes", "groups", "expires", "sha256"), "The file has no token."
    with listing("tokens", columns, _cells, as_json=as_json, empty=empty) as shown:
        shown.show(_read(path))


@example("titan token revoke web --tokens tokens", "titan token revoke 3f0a9b1c22de --tokens tokens")
@token.command()
@click.argument("name", metavar="NAME")
@_path_option
@json_option
def revoke(name: str, path: Path, *, as_json: bool) -> None:
    """Remove a token from a file.

    NAME is its name, or the first digits of its SHA-256 (8 at least). Running brokers accept the token until they
    reload the file, at SIGHUP. The last token cannot be removed: a broker does not load a file without tokens.
    """
    tokens = _read(path)
    found = [one for one in tokens if one.name == name or (len(name) >= 8 and one.sha256.startswith(name))]
    if not found:
        raise click.ClickException(f"There is no token {name!r} in {path}; `titan token list` shows them.")
    if len(found) > 1:
        digests = ", ".join(one.sha256[:_DIGEST_LENGTH] for one in found)
        raise click.ClickException(f"{path} has several tokens {name!r}. Name one by its SHA-256: {digests}.")
    if len(tokens) == 1:
        raise click.ClickException("It is the last token of the file. Make another one first.")
    try:
        remove_token(path, found[0].sha256)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}.") from None
    if as_json:
        show_json({"revoked": found[0].sha256})
    else:
        click.echo(f"{found[0].name or found[0].sha256[:_DIGEST_LENGTH]} revoked; send SIGHUP to the brokers.")


def _refuse_used(path: Path, name: str) -> None:
    """Raise ClickException for a name that the file has, because `titan token revoke` takes names."""
    with suppress(TokensUnreadable):  # a new file, or an empty one
        if name and any(one.name == name for one in read_tokens(path)):
            raise click.ClickException(f"{path} has a token {name!r}: choose another --name, or revoke that one first.")


def _read(path: Path) -> tuple[Token, ...]:
    try:
        return read_tokens(path)
    except TokensUnreadable as error:
        raise click.UsageError(str(error)) from None


def _cells(one: Token) -> tuple[object, ...]:
    expires = when(one.expires) if one.expires else "never"
    return one.name or "-", ",".join(one.scopes), ",".join(one.groups), expires, one.sha256[:_DIGEST_LENGTH]
