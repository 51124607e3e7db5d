"""The help of `titan job`, `titan group` and of what looks at workers, and variables for every option."""

import click
import pytest

from broker.cli.group import group as group_commands
from broker.cli.job import job as job_commands
from broker.cli.worker import COMMANDS as WORKER_COMMANDS
from tests.cli.live import Titan

COMMANDS = [
    (commands.name, name, command)
    for commands in (job_commands, group_commands)
    for name, command in commands.commands.items()
] + [("worker", str(command.name), command) for command in WORKER_COMMANDS]
JOB = [
    "enqueue",
    "show",
    "list",
    "wait",
    "result",
    "log",
    "cancel",
    "retry",
    "promote",
    "delete",
    "why",
    "history",
    "tree",
    "find",
]
CONSUMER = ["next", "start", "touch", "succeed", "fail", "release", "hold"]
GROUP = ["list", "show", "set", "pause", "resume", "delete", "stats", "why", "failures", "keys"]
WORKER = ["list", "status", "quiet", "resume", "drain"]


def test_help_lists_the_commands() -> None:
    """The commands are those of the contract."""
    assert list(job_commands.commands) == JOB + CONSUMER
    assert list(group_commands.commands) == GROUP
    assert [command.name for command in WORKER_COMMANDS] == WORKER


@pytest.mark.parametrize(("above", "name", "command"), COMMANDS)
def test_help_has_an_example(titan: Titan, above: str, name: str, command: click.Command) -> None:
    """Each command's help has an example of itself."""
    shown = titan(above, name, "--help")
    assert shown.code == 0
    assert "Example:\n" in shown.out
    assert f"titan {above} {name}" in shown.out.split("Example:")[1]


@pytest.mark.parametrize("words", [("job",), ("group",)])
def test_help_tells_exit_codes(titan: Titan, words: tuple[str, ...]) -> None:
    """The group's help has the exit codes."""
    assert "Exit codes: 0 done; 1 refused" in " ".join(titan(*words, "--help").out.split())
