"""The base class of command groups: safe standard streams, and suggestions for mistyped commands and options."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import click

from broker.cli.help import write_options
from broker.cli.streams import safe_streams
from broker.cli.typos import nearest

READ_ONLY_COMMANDS = frozenset(
    {"show", "list", "status", "log", "wait", "config", "doctor", "openapi", "lua", "check", "help", "export"}
    | {"why", "history", "find", "failures", "fires"}
)
"""Commands that change nothing, unless an option of CHANGING_OPTIONS is given."""
CHANGING_OPTIONS = frozenset({"--repair", "--send"})
"""Options that let a read-only command change something."""


EXIT_CODES = (
    "Exit codes: 0 done; 1 refused; 2 wrong usage; 3 the broker cannot be reached; 124 a timeout ended; 130 Ctrl-C; "
    "141 the reader of the output is gone."
)
"""The exit codes of all commands. A command that runs others, or that waits, says what it adds."""
INTERRUPTED = 130
"""128 + SIGINT."""
_UNCUT = 1000
"""More letters than a line about a command has."""
ALIASES = {"success": "succeed", "remove": "delete"}
"""Other spellings of commands, which still work, and are in no help."""


class TitanCommand(click.Command):
    """A command whose help has its options in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        write_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes."""
        self.epilog = self.epilog or EXIT_CODES
        super().format_epilog(ctx, formatter)


class CommandGroup(click.Group):
    """A group of commands, or `titan` itself.

    `meant`: for words that are no command of the group what to suggest, where that is more than one command's name.
    """

    command_class = TitanCommand

    def __init__(self, *args: Any, meant: Mapping[str, str] = MappingProxyType({}), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._meant = meant

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or of which this is another spelling."""
        return super().get_command(ctx, cmd_name) or super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the commands."""
        write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands. A line that is too long for the terminal continues on the next one, and is never cut."""
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = [(name, each.get_short_help_str(_UNCUT)) for name, each in found.items() if each and not each.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command. A closed or full standard stream never causes a traceback."""
        with safe_streams():
            return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the options. Raises UsageError with a suggestion for an unknown option."""
        try:
            return super().make_context(*args, **kwargs)
        except click.NoSuchOption as error:
            raise _no_such_option(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises UsageError with a suggestion for an unknown option of it. Ctrl-C ends it quietly."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None
        except click.NoSuchOption as error:
            raise _no_such_option(error) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. Raises UsageError with a suggestion for an unknown one."""
        name = args[0]
        if name.startswith("-") or self.get_command(ctx, name) is not None or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"No such command {name!r}.{self._suggestion(ctx, name)}", ctx=ctx)

    def _suggestion(self, ctx: click.Context, name: str) -> str:
        if name in self._meant:
            return f" Did you mean {self._meant[name]}?"
        names = self.list_commands(ctx)
        near = nearest(name, names, read_only=READ_ONLY_COMMANDS.intersection(names))
        if near:
            return f" Did you mean {near!r}?"
        paths = [path for command in names for path in self._subcommands(ctx, command) if path.split()[-1] == name]
        return f" Did you mean {' or '.join(map(repr, paths))}?" if paths else ""

    def _subcommands(self, ctx: click.Context, name: str) -> Iterator[str]:
        """The full names of a subgroup's commands, such as `titan job list`."""
        command = self.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from (f"{ctx.command_path} {name} {subcommand}" for subcommand in command.list_commands(ctx))


def _no_such_option(error: click.NoSuchOption) -> click.UsageError:
    message = f"No such option {error.option_name!r}."
    if error.ctx is None:
        return click.UsageError(message)
    is_read_only = error.ctx.command.name in READ_ONLY_COMMANDS
    known = [option for option in _options(error.ctx) if not (is_read_only and option in CHANGING_OPTIONS)]
    near = nearest(error.option_name, known, read_only=known)
    return click.UsageError(message + (f" Did you mean {near!r}?" if near else ""), ctx=error.ctx)


def _options(context: click.Context) -> Iterator[str]:
    """The long names of a command's options."""
    for parameter in context.command.get_params(context):
        yield from (option for option in (*parameter.opts, *parameter.secondary_opts) if option.startswith("--"))
