"""What the help of every command has."""

import re

import click
import pytest

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
