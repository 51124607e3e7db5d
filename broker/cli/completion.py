"""`titan completion`: prints a script that completes commands and options in a shell."""

import click
from click.shell_completion import get_completion_class

from broker.cli.commands import TitanCommand
from broker.cli.options import example

_SHELLS = ("bash", "zsh", "fish")


@example(
    "titan completion bash > ~/.local/share/bash-completion/completions/titan",
    "titan completion zsh > ~/.zfunc/_titan",
    "titan completion fish > ~/.config/fish/completions/titan.fish",
)
@click.command(cls=TitanCommand)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script for a shell that completes commands, options and their words.

    Zsh needs the folder in its fpath, before compinit.
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 -- the choices are shells that click knows
    click.echo(kind(context.find_root().command, {}, "titan", "_TITAN_COMPLETE").source())
