"""`titan test`: runs the tests of a source checkout."""

import os
import sys
from pathlib import Path

import click

from broker.cli.commands import TitanCommand
from broker.cli.options import example


@example("./titan test", "./titan test tests/guide -x")
@click.command(context_settings={"ignore_unknown_options": True}, cls=TitanCommand)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> None:
    """Run the tests of a source checkout on all cores.

    There are three processes for two cores, since many tests wait. All arguments are passed to pytest.
    """
    root = Path(__file__).parents[2]
    if not (root / "tests").is_dir():
        raise click.ClickException("There are no tests here: this is not a source checkout.")
    os.chdir(root)
    cores = () if any(argument.startswith("-n") for argument in arguments) else ("-n", "auto")
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *cores, *arguments])  # noqa: S606 -- the user's own arguments
