"""What all commands have in common: how they end, and what is said of a word that is none of them."""

from collections.abc import Iterator
from typing import Any

import click

from broker.cli.streams import own_streams
from broker.cli.typos import nearest

LOOKING = frozenset({"show", "list", "status", "log", "wait", "config", "doctor", "openapi", "lua", "check", "help"})
"""Commands that change nothing as long as no option of CHANGING is given."""
CHANGING = frozenset({"--repair", "--send"})
"""Options by which a command that looks changes something."""


class CommandGroup(click.Group):
    """A group of commands, or `titan` itself."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command to its end, which is never a traceback about the standard streams."""
        with own_streams():
            return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the options. Raises UsageError that names the option that was perhaps meant."""
        try:
            return super().make_context(*args, **kwargs)
        except click.NoSuchOption as error:
            raise _no_such_option(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises the same for its options."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            raise _no_such_option(error) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named. Raises UsageError that says which one was perhaps meant."""
        name = args[0]
        if name.startswith("-") or self.get_command(ctx, name) is not None or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"No such command {name!r}.{self._instead(ctx, name)}", ctx=ctx)

    def _instead(self, ctx: click.Context, name: str) -> str:
        names = self.list_commands(ctx)
        near = nearest(name, names, looking=LOOKING.intersection(names))
        if near:
            return f" Did you mean {near!r}?"
        below = [path for command in names for path in self._below(ctx, command) if path.split()[-1] == name]
        return f" Did you mean {' or '.join(map(repr, below))}?" if below else ""

    def _below(self, ctx: click.Context, name: str) -> Iterator[str]:
        """The commands of a group in this one, as one types them."""
        command = self.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from (f"{ctx.command_path} {name} {below}" for below in command.list_commands(ctx))


def _no_such_option(error: click.NoSuchOption) -> click.UsageError:
    message = f"No such option {error.option_name!r}."
    if error.ctx is None:
        return click.UsageError(message)
    looks = error.ctx.command.name in LOOKING
    known = [text for text in _options(error.ctx) if not (looks and text in CHANGING)]
    near = nearest(error.option_name, known, looking=known)
    return click.UsageError(message + (f" Did you mean {near!r}?" if near else ""), ctx=error.ctx)


def _options(context: click.Context) -> Iterator[str]:
    """The long names of a command's options."""
    for parameter in context.command.get_params(context):
        yield from (text for text in (*parameter.opts, *parameter.secondary_opts) if text.startswith("--"))
