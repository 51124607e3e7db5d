"""The page of the command line: the help of each command."""

from collections.abc import Iterator

import click

from broker.cli import main
from tests.docs.tables import page

WIDTH = 100


def cli_page() -> str:
    """Each command under a heading of its own, in the order of `titan --help`."""
    return page("cli", rows="\n".join(_rows()))


def _rows() -> Iterator[str]:
    yield from _help(main, click.Context(main, info_name="titan", **main.context_settings), 2)


def _help(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    """The help of a command, and then that of its commands."""
    context.terminal_width = context.max_content_width = WIDTH
    text = "\n".join(line.rstrip() for line in click.unstyle(command.get_help(context)).splitlines())
    yield f"{'#' * min(level, 3)} {context.command_path}\n\n```text\n{text}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                below = click.Context(inner, context, name, **inner.context_settings)
                yield from _help(inner, below, level + 1)
