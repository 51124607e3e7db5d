"""`titan token`: makes tokens, and their entries for the broker's file of tokens."""

from pathlib import Path

import click

from broker.auth.token_file import EVERY_GROUP, SCOPES, Scope, TokensUnreadable, add_token, entry, new_token
from broker.cli.client_options import option
from broker.cli.commands import CommandGroup
from broker.cli.options import example, json_option, refuse_non_text
from broker.cli.output import show_json


@example("titan token new --scope produce --groups mail --tokens tokens > web.token")
@click.group(
    cls=CommandGroup,
)
def token() -> None:
    """Make tokens for a broker that runs with --tokens FILE."""


@example(
    "titan token new --scope produce --scope read --groups 'mail,news-*' --name web --tokens tokens > web.token",
    "titan token new --scope consume --tokens tokens > worker.token && kill -HUP $(pidof titan)",
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
    help="What the token allows; repeatable. produce: enqueue, cancel, retry, delete. consume: take and finish jobs, "
    "upload logs. read: show, list, read logs. admin: all of these, and change groups.",
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
@json_option
def new(scopes: tuple[Scope, ...], groups: str, name: str, path: Path | None, *, as_json: bool) -> None:
    """Make a token and print it.

    The token is printed only once, on stdout; the file of tokens contains only its SHA-256. A running broker reloads
    the file at SIGHUP. To revoke a token, delete its entry and send SIGHUP.
    """
    refuse_non_text(click.get_current_context())
    try:
        secret, made = new_token(scopes, [group for group in groups.split(",") if group], name)
        if path is None:
            click.echo(entry(made, is_toml=False), nl=False, err=True)
        else:
            add_token(path, made)
    except TokensUnreadable as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}.") from None
    if as_json:
        show_json({"token": secret})
    else:
        click.echo(secret)
