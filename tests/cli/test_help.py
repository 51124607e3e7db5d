"""What the help of every command has."""

import re
from collections.abc import Iterator

import click
import pytest

from broker.cli import main
from tests.cli.live import Titan
from tests.cli.tree import commands

WITHOUT_DATA = {("up",), ("broker",), ("worker",), ("test",), ("openapi",), ("redis",), ("completion",)}
"""Commands that serve, run something, or print JSON anyway."""


@pytest.mark.parametrize(("words", "command"), [pytest.param(*row, id=" ".join(row[0])) for row in commands()])
def test_every_help_has_an_example_and_json(titan: Titan, words: tuple[str, ...], command: click.Command) -> None:
    """Each help begins with one sentence and an example of the command; each command that prints data has --json."""
    shown = titan(*words, "--help")
    assert shown.code == 0
    _, sentence, examples, *_ = shown.out.split("\n\n")
    assert re.fullmatch(r"  [A-Z][^.]*\.", sentence.replace("OpenAPI 3.1", ""))
    assert examples.startswith("  Example:\n")
    assert f"titan {' '.join(words)}" in shown.out.partition("Example:\n")[2]
    assert (words in WITHOUT_DATA) != any("--json" in parameter.opts for parameter in command.params)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_help_fits_the_terminal(columns: int) -> None:
    """No line is cut or wider than the terminal. Examples are whole, so that they can be copied."""
    shown = dict(helps(main, click.Context(main, info_name="titan", **main.context_settings), columns - 2))
    assert {"titan", "titan job", "titan job list"} <= set(shown)
    for words, text in shown.items():
        assert "\\b" not in text, words
        below_usage = text.partition("\n\n")[2]
        examples = below_usage.partition("Example:\n")[2].partition("\n\n")[0]
        lines = below_usage.replace(examples, "").splitlines()
        assert [line for line in lines if len(line) > columns or line.endswith("...")] == [], words


def helps(command: click.Command, context: click.Context, width: int) -> Iterator[tuple[str, str]]:
    """The help of a command and of all below it, by their words."""
    context.terminal_width = width
    yield context.command_path, click.unstyle(command.get_help(context))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from helps(inner, click.Context(inner, context, name, **inner.context_settings), width)
