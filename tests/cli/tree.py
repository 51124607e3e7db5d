"""All commands of `titan`, as one types them."""

from collections.abc import Iterator

import click

from broker.cli import main


def commands(group: click.Group = main, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command's words and the command itself; a group that runs without a subcommand is one too."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield (*above, name), command
