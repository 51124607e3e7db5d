"""broker.env and worker.env: every setting at its default, in the order of the settings struct."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from msgspec import Struct

from broker.cli.options import settings_from, settings_options
from broker.core.settings import BrokerSettings
from broker.core.settings_schema import settings_of
from worker.settings import WorkerSettings

FILES = [("broker.env", BrokerSettings), ("worker.env", WorkerSettings)]


@pytest.mark.parametrize(("name", "struct"), FILES)
def test_env_file_has_every_setting_and_nothing_else(deploy: Path, name: str, struct: type[Struct]) -> None:
    """After its first paragraph the file is what the struct says: a description, then TITAN_NAME=default."""
    _, _, rows = (deploy / name).read_text().partition("\n\n")
    wanted = "\n\n".join(
        f"# {setting.description}\n{setting.variable}={_text(setting.default)}" for setting in settings_of(struct)
    )
    assert rows == wanted + "\n"


@pytest.mark.parametrize(("name", "struct"), FILES)
def test_env_file_changes_nothing(deploy: Path, name: str, struct: type[Struct]) -> None:
    """A process that gets all of the file has its defaults."""
    rows = [line.partition("=") for line in (deploy / name).read_text().splitlines() if line and line[0] != "#"]
    found: list[Struct] = []

    @click.command()
    @settings_options(struct)
    @click.pass_context
    def start(context: click.Context, /, **_: Any) -> None:
        found.append(settings_from(context, struct))

    done = CliRunner().invoke(start, [], env={variable: value for variable, _, value in rows})
    assert done.exit_code == 0, done.output
    assert found == [struct()]


@pytest.mark.parametrize(("name", "struct"), FILES)
def test_env_file_reads_the_same_everywhere(name: str, struct: type[Struct]) -> None:
    """No value needs a quote: systemd, a container engine and a shell read the same."""
    values = [_text(setting.default) for setting in settings_of(struct)]
    assert [value for value in values if set(value) & set(" \"'$\\#;&|<>()*?[]{}~`")] == [], name


def _text(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return ";".join(default) if isinstance(default, tuple) else str(default)
