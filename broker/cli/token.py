"""`titan token`: make tokens, and the entries by which a broker knows them."""

from pathlib import Path

import click

from broker.auth.token_file import EVERY_GROUP, SCOPES, Scope, TokensUnreadable, add_token, entry, new_token
from broker.cli.client_options import option
from broker.cli.commands import CommandGroup
from broker.cli.options import example, json_option, refuse_what_is_no_text
from broker.cli.output import show_json


@click.group(
    cls=CommandGroup, epilog=example("titan token new --scope produce --groups mail --tokens tokens > web.token")
)
def token() -> None:
    """Make tokens for a broker that is started with --tokens FILE."""


@token.command(
    "new",
    epilog=example(
        "titan token new --scope produce --scope read --groups 'mail,news-*' --name web --tokens tokens > web.token",
        "titan token new --scope consume --tokens tokens > worker.token && kill -HUP $(pidof titan)",
    ),
)
@option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(SCOPES),
    help="What it is for; repeatable. produce: enqueue, cancel, retry, delete. consume: next to finish, logs in. "
    "read: show, list, logs out. admin: all of these, and set groups.",
)
@option("--groups", default=EVERY_GROUP, show_default=True, metavar="NAMES", help="Its groups: 'a,b-*'; * is any text.")
@option("--name", default="", help="Whose it is, for people who read the file.")
@option(
    "--tokens",
    "path",
    envvar="TITAN_TOKENS",
    allow_from_autoenv=False,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to append the entry to; without it the entry is printed, on stderr.",
)
@json_option
def new(scopes: tuple[Scope, ...], groups: str, name: str, path: Path | None, *, as_json: bool) -> None:
    """Make a token and print it on stdout, this once: the file has its SHA-256 only.

    A broker that runs reads its file again at SIGHUP. Deleting the entry, and SIGHUP, takes the token back.
    """
    refuse_what_is_no_text(click.get_current_context())
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
