"""What the help of every command has."""

import click
import pytest

from tests.cli.live import Titan
from tests.cli.tree import commands

WITHOUT_DATA = {("up",), ("broker",), ("worker",), ("test",), ("openapi",), ("redis",)}
"""Commands that serve, run something, or print JSON anyway."""


@pytest.mark.parametrize(("words", "command"), [pytest.param(*row, id=" ".join(row[0])) for row in commands()])
def test_every_help_has_an_example_and_json(titan: Titan, words: tuple[str, ...], command: click.Command) -> None:
    """Each command's help has an example of itself, and each that prints data has --json."""
    shown = titan(*words, "--help")
    assert shown.code == 0
    assert f"titan {' '.join(words)}" in shown.out.partition("Example:\n")[2]
    assert (words in WITHOUT_DATA) != any("--json" in parameter.opts for parameter in command.params)
